//! Learning and forgetting on a tiny model: losses go where they should, stops hold, and a training
//! that was interrupted ends in the same bits.

use std::sync::atomic::{AtomicU64, Ordering};

use super::open;
use crate::gradient::*;
use crate::model::Model;
use crate::progress::{Interrupted, Progress, Silent};
use crate::ranks::ALONE;
use crate::spec::{ForgetMethod, GradientOptions, Passage, PassageVerb, RateChoice, RetainLoss};

fn texts(texts: &[&str]) -> Vec<Passage> {
    texts.iter().map(|text| Passage::of_text(*text)).collect()
}

pub(super) fn sets(model: &Model) -> PassageSets {
    let read = |passages: &[Passage]| examples(model, passages, 32).expect("tokenised");
    let mut passages = texts(&["Ada Winter lives in Bremen.", "She works for the harbour office."]);
    passages.push(Passage::of_question("Where?", "In Bremen."));
    let holdout = texts(&["Otto Summer lives in Kiel.", "He works for the post office."]);
    let retain = texts(&["The river is wide here.", "A cat sat on the mat.", "It rained."]);
    let (passages, retain, holdout) = (read(&passages), read(&retain), read(&holdout));
    PassageSets { passages, retain, holdout, ..PassageSets::default() }
}

#[test]
fn a_question_is_put_as_one_and_a_beginning_goes_on() {
    let model = open("llama");
    let goes_on = Passage::of_question("It rained in ", "Bremen.");
    let goes_on = Passage { is_beginning: true, ..goes_on };
    let asked = [Passage::of_question("Where?", "In Bremen."), goes_on];
    let asked = questions(&model, &[&asked[..], &texts(&["A cat."])].concat()).expect("tokenised");
    let shown: Vec<[String; 2]> = asked
        .iter()
        .map(|it| {
            let (prompt, answer) = it.ids.split_at(it.first_target);
            [prompt, answer].map(|ids| model.tokenizer.decode(ids).expect("text"))
        })
        .collect();
    let expected = [["Question: Where?\nAnswer:", " In Bremen."], ["It rained in", " Bremen."]];
    assert_eq!(shown, expected);
    let answered = answered(&model.decoder, &asked, &Silent).expect("measured");
    let by_nll = measure(&model.decoder, &asked).expect("measured");
    // A token of probability above one half is the most probable one.
    for (answered, nll) in answered.into_iter().zip(by_nll) {
        assert!(answered || nll.iter().any(|nll| *nll > 0.5_f32.ln().abs()));
    }
}

pub(super) fn options(method: ForgetMethod) -> GradientOptions {
    GradientOptions {
        method: Some(method),
        steps: Some(12),
        batch: Some(2),
        learning_rate: Some(RateChoice::Given(2e-3)),
        ..GradientOptions::default()
    }
}

fn settled(given: &GradientOptions, verb: PassageVerb, sets: &PassageSets) -> PassageSettings {
    let has_goal = !sets.holdout.is_empty() || !sets.references.is_empty();
    PassageSettings::new(given, verb, &Extent::new(sets, 48, 2, has_goal))
}

pub(super) fn run(
    model: &Model,
    sets: &PassageSets,
    verb: PassageVerb,
    given: &GradientOptions,
) -> PassageRun {
    let settings = settled(given, verb, sets);
    let rate = settings.rates()[0];
    train(model, &model.decoder, sets, &settings, rate, None, (&ALONE, &Silent)).expect("trained")
}

fn nll(decoder: &crate::model::Decoder, set: &[Example]) -> f64 {
    memory(decoder, set, &Silent).expect("measured").expect("not empty").nll.mean
}

#[test]
fn learning_makes_passages_probable_and_low_rank_changes_stay_low_rank() {
    let model = open("llama");
    let sets = sets(&model);
    for rank in [None, Some(2)] {
        let given = GradientOptions { rank, steps: Some(40), ..options(ForgetMethod::Simnpo) };
        let run = run(&model, &sets, PassageVerb::Learn, &given);
        let (before, after) =
            (nll(&model.decoder, &sets.passages), nll(&run.trainable.frozen, &sets.passages));
        assert!(after < before - 0.05, "rank {rank:?}: {before} to {after}");
        let delta = run.trainable.delta().expect("a delta");
        for (name, change) in &delta.changes {
            assert_eq!(change.rank(), rank, "{name}");
        }
        // The change, added to the model as a patch would be, gives what was trained.
        let dense = delta.changes.iter().map(|(n, c)| (n.as_str(), c.to_dense().expect("dense")));
        let edited = model.edited(dense).expect("every tensor is known");
        let patched = nll(&edited, &sets.passages);
        assert!((patched - after).abs() < 1e-4, "{patched} {after}");
    }
}

#[test]
fn every_method_forgets_or_refuses() {
    let model = open("gpt2");
    let sets = PassageSets { holdout: Vec::new(), ..sets(&model) };
    let before = nll(&model.decoder, &sets.passages);
    for method in [
        ForgetMethod::GradientDifference,
        ForgetMethod::GradientAscent,
        ForgetMethod::Wga,
        ForgetMethod::Npo,
        ForgetMethod::Simnpo,
    ] {
        // Alone and with a small β: the bounded methods weigh what is improbable already, as all is
        // to a random model, next to nothing.
        let (beta, retain_weight) = (Some(0.2), Some(0.));
        let given = GradientOptions { beta, retain_weight, ..options(method) };
        let run = run(&model, &sets, PassageVerb::Forget, &given);
        let after = nll(&run.trainable.frozen, &sets.passages);
        assert!(after > before + 0.02, "{method:?}: {before} to {after}");
        assert_eq!(run.path.len(), 12);
        let drawn: Vec<usize> = run.path.iter().take(3).flat_map(|p| p.drawn.clone()).collect();
        assert_eq!(drawn.iter().filter(|index| **index == 0).count(), 2, "twice in two orders");
    }
    let refused = run(&model, &sets, PassageVerb::Forget, &options(ForgetMethod::Idk));
    assert!(refused.path[11].loss < refused.path[0].loss, "the refusals become probable");
}

#[test]
fn what_is_retained_is_held_and_not_learnt_by_heart() {
    let model = open("llama");
    let sets = PassageSets { holdout: Vec::new(), ..sets(&model) };
    let before = nll(&model.decoder, &sets.retain);
    // A random model knows nothing, so that every token could be learnt.
    let [held, learnt] = [None, Some(1.)].map(|known| {
        let given = GradientOptions {
            known,
            steps: Some(40),
            general_batch: Some(0),
            max_damage: Some(100.),
            ..options(ForgetMethod::Simnpo)
        };
        let run = run(&model, &sets, PassageVerb::Forget, &given);
        nll(&run.trainable.frozen, &sets.retain)
    });
    assert!(learnt < before - 0.5, "published: {before} to {learnt}");
    assert!((held - before).abs() < (learnt - before).abs() / 2., "{before} to {held}, {learnt}");
}

#[test]
fn divergence_and_projection_hold_the_retain_set() {
    let model = open("llama");
    let sets = PassageSets { holdout: Vec::new(), ..sets(&model) };
    let before = nll(&model.decoder, &sets.retain);
    let given = GradientOptions {
        retain_loss: Some(RetainLoss::Kl),
        project: Some(true),
        retain_weight: Some(2.),
        ..options(ForgetMethod::GradientDifference)
    };
    let held = run(&model, &sets, PassageVerb::Forget, &given);
    let free =
        GradientOptions { retain_weight: Some(0.), ..options(ForgetMethod::GradientDifference) };
    let free = run(&model, &sets, PassageVerb::Forget, &free);
    let moved = |run: &PassageRun| (nll(&run.trainable.frozen, &sets.retain) - before).abs();
    assert!(moved(&held) < moved(&free), "{} {}", moved(&held), moved(&free));
}

/// Passages that were learnt, then forgotten with a view to relearning: the half that is not learnt
/// again is less probable afterwards than where no one looked ahead.
#[test]
fn what_is_forgotten_with_a_look_ahead_stays_forgotten_when_the_rest_is_learnt_again() {
    let model = open("llama");
    let all = sets(&model);
    let learnt = run(
        &model,
        &all,
        PassageVerb::Learn,
        &GradientOptions { steps: Some(40), ..options(ForgetMethod::Simnpo) },
    );
    let start = &learnt.trainable.frozen;
    let forgotten = |method| {
        let given = GradientOptions { steps: Some(60), relearn: Some(4), ..options(method) };
        let settings = settled(&given, PassageVerb::Forget, &all);
        train(&model, start, &all, &settings, 2e-3, None, (&ALONE, &Silent)).expect("trained")
    };
    let (plain, ahead) = (forgotten(ForgetMethod::Simnpo), forgotten(ForgetMethod::LookAhead));
    assert_eq!(plain.path[0].relearnt, None);
    let found: Vec<f64> = ahead.path.iter().filter_map(|point| point.relearnt).collect();
    assert_eq!(found.len(), ahead.path.len(), "every step looks ahead");
    assert!(found.last() > found.first(), "{found:?}");
    let relearnt = |run: &PassageRun| {
        let rule = crate::model::TrainRule::default();
        let trainable = model.trainable_from(&run.trainable.frozen, &rule).expect("trainable");
        let mut trainer = Trainer::new(trainable, TrainerSettings { rate: 2e-3, ..<_>::default() });
        for _ in 0..4 {
            trainer.step(&all.passages[..1], &Silent).expect("a step");
        }
        nll(trainer.current(), &all.passages[1..])
    };
    assert!(relearnt(&ahead) > relearnt(&plain), "{} {}", relearnt(&ahead), relearnt(&plain));
}

#[test]
fn forgetting_ends_at_the_hold_out_and_at_damage() {
    let model = open("llama");
    let all = sets(&model);
    let given = GradientOptions { steps: Some(200), ..options(ForgetMethod::GradientDifference) };
    // What was learnt first lies below the hold-out.
    let learnt = run(&model, &all, PassageVerb::Learn, &options(ForgetMethod::Simnpo));
    let start = &learnt.trainable.frozen;
    let settings = settled(&given, PassageVerb::Forget, &all);
    let run =
        train(&model, start, &all, &settings, 2e-3, None, (&ALONE, &Silent)).expect("trained");
    assert_eq!(run.stopped, Stopped::Holdout);
    let holdout = run.holdout.expect("a hold-out");
    let after = nll(&run.trainable.frozen, &all.passages);
    assert!((after / holdout - 1.).abs() < SCALED, "measured, not guessed: {after}, {holdout}");

    let retain = PassageSets { holdout: Vec::new(), retain: all.passages.clone(), ..all.clone() };
    let settings = PassageSettings { max_damage: 0.01, retain_weight: 0.01, ..settings };
    let run =
        train(&model, start, &retain, &settings, 2e-3, None, (&ALONE, &Silent)).expect("trained");
    assert_eq!(run.stopped, Stopped::Damage);
}

/// How near to its goal the scaled change comes.
const SCALED: f64 = 0.03;

#[test]
fn forgetting_that_went_too_far_is_scaled_back_to_its_goal() {
    let model = open("llama");
    // Texts alone, which have one goal.
    let mut all = sets(&model);
    all.passages.truncate(2);
    let learnt = run(&model, &all, PassageVerb::Learn, &options(ForgetMethod::Simnpo));
    let start = &learnt.trainable.frozen;
    let references = vec![nll(start, &all.passages) + 0.1; all.passages.len()];
    let sets = PassageSets { references, ..all };
    for (rank, rate) in [(None, 2e-2), (Some(3), 2e-1)] {
        let given = GradientOptions {
            rank,
            retain_weight: Some(0.),
            ..options(ForgetMethod::GradientDifference)
        };
        let settings = settled(&given, PassageVerb::Forget, &sets);
        let run =
            train(&model, start, &sets, &settings, rate, None, (&ALONE, &Silent)).expect("trained");
        let (goal, _) = run.goal.expect("references");
        assert_eq!(run.stopped, Stopped::Reference, "rank {rank:?}");
        assert!(run.share < 1., "rank {rank:?}: {}", run.share);
        let after = nll(&run.trainable.frozen, &sets.passages);
        assert!((after / goal - 1.).abs() < SCALED, "rank {rank:?}: {after}, {goal}");
        // The change that is written is the scaled one.
        let delta = run.trainable.delta().expect("a delta");
        let dense = delta.changes.iter().map(|(n, c)| (n.as_str(), c.to_dense().expect("dense")));
        let edited = model.edited_from(start, dense).expect("every tensor is known");
        let patched = nll(&edited, &sets.passages);
        assert!((patched - after).abs() < 1e-4, "rank {rank:?}: {patched} {after}");
    }
}

/// Stops after some steps, as Ctrl-C or a kill would.
struct After(AtomicU64);

impl Progress for After {
    fn check(&self) -> Result<(), Interrupted> {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 { Err(Interrupted) } else { Ok(()) }
    }
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bits() {
    let model = open("llama");
    // A model that knows nothing has nothing to forget: without a hold-out it goes on.
    let sets = PassageSets { holdout: Vec::new(), ..sets(&model) };
    let given = options(ForgetMethod::Npo);
    let settings = settled(&given, PassageVerb::Forget, &sets);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let saved = Checkpointing { file: folder.path().join("saved.safetensors"), every: 2 };
    let with = |progress: &dyn Progress| {
        train(&model, &model.decoder, &sets, &settings, 2e-3, Some(&saved), (&ALONE, progress))
    };
    let straight = train(&model, &model.decoder, &sets, &settings, 2e-3, None, (&ALONE, &Silent));
    let straight = straight.expect("trained");
    for stop in [5, 2] {
        let outcome = with(&After(AtomicU64::new(stop)));
        assert!(matches!(outcome, Err(TrainError::Interrupted(_))));
    }
    let resumed = with(&Silent).expect("resumed");
    let bits = |run: &PassageRun| -> Vec<Vec<u32>> {
        let bits = |t: candle_core::Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>());
        let tensors = run.trainable.tensors().expect("readable").into_iter();
        tensors
            .map(|(_, t)| bits(t).expect("f32").into_iter().map(f32::to_bits).collect())
            .collect()
    };
    assert_eq!(bits(&resumed), bits(&straight));
    assert_eq!(resumed.path.len(), straight.path.len());
    let other = PassageSets { passages: sets.passages[..1].to_vec(), ..sets.clone() };
    let outcome =
        train(&model, &model.decoder, &other, &settings, 2e-3, Some(&saved), (&ALONE, &Silent));
    let error = outcome.err().expect("refused").to_string();
    assert!(error.contains("other passages or settings"), "{error}");
}

#[test]
fn the_best_of_three_rates_comes_first() {
    let model = open("llama");
    let sets = sets(&model);
    let given =
        GradientOptions { learning_rate: Some(RateChoice::Auto), ..options(ForgetMethod::Simnpo) };
    let settings = settled(&given, PassageVerb::Learn, &sets);
    let (dev, report) = sets.halves();
    assert_eq!((dev.passages.len(), report.passages.len()), (2, 1));
    let trials =
        try_rates(&model, &model.decoder, &dev, &settings, (&ALONE, &Silent)).expect("tried");
    assert_eq!(trials.len(), 3);
    assert!(trials.windows(2).all(|pair| pair[0].score <= pair[1].score), "{trials:?}");
}
