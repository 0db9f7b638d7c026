//! What one training is about, resolved before any work.

use std::path::PathBuf;

use serde::Serialize;

use super::RunError;
use super::job::Job;
use crate::gradient::{
    self, AskedSets, Example, Extent, Footprint, NearDuplicate, PassageSets, PassageSettings,
    Subjects,
};
use crate::model::{Model, ModelError, Trained};
use crate::probe::SecretQuestion;
use crate::progress::counted;
use crate::spec::{
    ForgetMethod, Passage, PassageOperation, PassageSource, PassageVerb, QuestionSources,
    RateChoice, find_secrets, hidden_characters,
};

/// One training, of all passages that are learnt or of all that are forgotten.
#[derive(Debug, Clone, Serialize)]
pub struct TrainPlan {
    /// Every choice, with defaults filled in.
    pub settings: PassageSettings,
    /// Passages that are learnt or forgotten.
    pub passages: usize,
    /// Sequences that they were cut into.
    pub sequences: usize,
    /// Passages of the retain set.
    pub retain: usize,
    /// Passages of the hold-out.
    pub holdout: usize,
    /// Models or patches that never saw the passages.
    pub references: Vec<String>,
    /// Retain passages that repeat forget passages and were left out, with their texts.
    pub closure: Vec<(NearDuplicate, String)>,
    /// General text of the user; nothing: the base's own samples.
    pub general: Option<PathBuf>,
    /// Notes for the user on characters of the passages that are not seen.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Texts that must not come out of the model afterwards, where they stand in the passages.
    #[serde(skip)]
    pub secrets: Vec<SecretQuestion>,
    /// Whom or what the passages are about.
    #[serde(skip)]
    pub subjects: Subjects,
    /// The sets, tokenised.
    #[serde(skip)]
    pub sets: PassageSets,
}

impl TrainPlan {
    /// The trainings of a job, in the order in which they run.
    pub fn all(model: &Model, job: &Job) -> Result<Vec<Self>, RunError> {
        let verbs = [PassageVerb::Learn, PassageVerb::Forget];
        let plans = verbs.into_iter().filter_map(|verb| Self::of(model, job, verb).transpose());
        plans.collect()
    }

    fn of(model: &Model, job: &Job, verb: PassageVerb) -> Result<Option<Self>, RunError> {
        let operations: Vec<_> = job.passages.iter().filter(|found| found.verb == verb).collect();
        if operations.is_empty() {
            return Ok(None);
        }
        let mut notes = Vec::new();
        let given = operations.iter().map(|found| &found.passages);
        let is_private = verb == PassageVerb::Forget;
        let passages = read(given, (&mut notes, is_private))?;
        let retain = operations.iter().filter_map(|found| found.retain.as_ref());
        let mut retain = read(retain, (&mut notes, is_private))?;
        let holdout = operations.iter().filter_map(|found| found.holdout.as_ref());
        let holdout = read(holdout, (&mut notes, is_private))?;
        let closure = match verb {
            PassageVerb::Forget => closure(&passages, &mut retain),
            PassageVerb::Learn => Vec::new(),
        };
        let chunk = PassageSettings::chunk(&job.gradient);
        let sets = PassageSets {
            passages: gradient::examples(model, &passages, chunk)?,
            retain: gradient::examples(model, &retain, chunk)?,
            holdout: gradient::examples(model, &holdout, chunk)?,
            questions: questions(model, &operations)?,
            ..PassageSets::default()
        };
        if sets.passages.is_empty() {
            return Err(RunError::Empty);
        }
        let references = references(&operations);
        let settings = settings(model, job, verb, &sets, !references.is_empty())?;
        let wanted: Vec<String> =
            operations.iter().flat_map(|found| found.secrets.iter().cloned()).collect();
        let places = find_secrets(&passages, &wanted)?;
        let secrets = SecretQuestion::of_passages(model, &passages, &places, settings.seed)
            .map_err(ModelError::from)?;
        Ok(Some(Self {
            settings,
            passages: passages.len(),
            sequences: sets.passages.len(),
            retain: retain.len(),
            holdout: holdout.len(),
            references,
            closure,
            general: job.gradient.general.clone(),
            notes,
            secrets,
            subjects: Subjects::new(&passages, &retain, &holdout),
            sets,
        }))
    }

    /// What the user should know before it runs.
    pub fn warnings(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let line = |(pair, text): &(NearDuplicate, String)| {
            let short: String = text.chars().take(60).collect();
            format!(
                "retain passage {} repeats forget passage {} ({:.0} %) and is left out: {short:?}",
                pair.retain + 1,
                pair.forget + 1,
                100. * pair.overlap
            )
        };
        let closure = self.closure.iter().take(SHOWN).map(line);
        let mut warnings: Vec<String> = self.notes.iter().cloned().chain(closure).collect();
        if self.closure.len() > SHOWN {
            let rest = self.closure.len() - SHOWN;
            warnings.push(format!("and {rest} more; `rescribe plan --json` lists them all"));
        }
        if self.retain == 0 && self.settings.verb == PassageVerb::Forget {
            warnings.push("nothing is retained: name a file with `retain` in [[forget]]".into());
        }
        warnings
    }

    /// One sentence about it.
    pub fn describe(&self) -> String {
        let settings = &self.settings;
        let what = match settings.verb {
            PassageVerb::Learn => "learn".to_owned(),
            PassageVerb::Forget => format!("forget by {}:", settings.method.name()),
        };
        let weights = match (settings.rule.rank, settings.rule.trained) {
            (Some(rank), _) => format!("rank {rank}"),
            (None, Trained::Mlp) => "MLP weights".into(),
            (None, Trained::All) => "all weights".into(),
        };
        let rate = match settings.rate {
            RateChoice::Auto => "auto".into(),
            RateChoice::Given(rate) => format!("{rate:.1e}"),
        };
        let references = match self.references.len() {
            0 => String::new(),
            n => format!(", references {n}"),
        };
        let questions = match self.sets.questions.passages.len() {
            0 => String::new(),
            n => format!(", {}", counted(n, "question")),
        };
        let general = match settings.general_batch {
            0 => String::new(),
            n => format!(" and {n} of general text"),
        };
        let shares = match settings.shares {
            1 => String::new(),
            n => format!(" in {n} shares"),
        };
        let again = if settings.recompute { ", layers run twice" } else { "" };
        format!(
            "{what} {} ({}), retain {}, hold-out {}{references}{questions}; {weights}, rate {rate}, at most \
             {} of {}{general}{shares}{again}, drift at most {}, seed {}",
            counted(self.passages, "passage"),
            counted(self.sequences, "sequence"),
            self.retain,
            self.holdout,
            counted(settings.steps as usize, "step"),
            settings.batch,
            settings.max_drift,
            settings.seed
        )
    }
}

fn settings(
    model: &Model,
    job: &Job,
    verb: PassageVerb,
    sets: &PassageSets,
    has_references: bool,
) -> Result<PassageSettings, RunError> {
    let config = model.decoder.config();
    let has_goal = !sets.holdout.is_empty() || has_references;
    let extent = Extent::new(sets, config.hidden, config.layers, has_goal);
    let mut settings = PassageSettings::new(&job.gradient, verb, &extent);
    settings.rule.layers.iter().flatten().try_for_each(|layer| model.check_layer(*layer))?;
    let is_without_goal = sets.holdout.len() < 2 && !has_references;
    if verb == PassageVerb::Forget && settings.rate == RateChoice::Auto && is_without_goal {
        return Err(RunError::RateWithoutHoldout);
    }
    let is_undo = settings.noise > 0.;
    let is_ahead = verb == PassageVerb::Forget && settings.method == ForgetMethod::LookAhead;
    if (is_undo || is_ahead) && !has_goal {
        return Err(RunError::WithoutGoal { method: settings.method.name() });
    }
    if is_undo && settings.rule.rank.is_some() {
        return Err(RunError::UndoOfLowRank);
    }
    settings.fit(footprint(model, sets, &settings), config, job.memory)?;
    Ok(settings)
}

/// The sizes that decide how much memory a training on `sets` takes.
pub(super) fn footprint(
    model: &Model,
    sets: &PassageSets,
    settings: &PassageSettings,
) -> Footprint {
    let all = [&sets.passages, &sets.retain, &sets.holdout].into_iter().flatten();
    let longest = all.map(|example| example.ids.len()).max().unwrap_or(1);
    let weights = model.weights.stored_bytes();
    Footprint::new(model.decoder.parameters(), weights, settings, longest)
}

/// The questions about each set.
fn questions(model: &Model, operations: &[&PassageOperation]) -> Result<AskedSets, RunError> {
    let asked = |of: fn(&QuestionSources) -> &Option<PassageSource>| {
        let sources = operations.iter().filter_map(|found| of(&found.questions).as_ref());
        let mut questions: Vec<Example> = Vec::new();
        for source in distinct(sources) {
            questions.extend(gradient::questions(model, &source.read_questions()?)?);
        }
        Ok::<_, RunError>(questions)
    };
    let [passages, retain, holdout] =
        [asked(|it| &it.passages)?, asked(|it| &it.retain)?, asked(|it| &it.holdout)?];
    Ok(AskedSets { passages, retain, holdout })
}

/// Each source once.
fn distinct<'s>(sources: impl Iterator<Item = &'s PassageSource>) -> Vec<&'s PassageSource> {
    let mut distinct: Vec<&PassageSource> = Vec::new();
    for source in sources {
        if !distinct.contains(&source) {
            distinct.push(source);
        }
    }
    distinct
}

/// The passages of several sources, each source once, with a note on each that has characters that
/// are not seen.
pub(super) fn read<'s>(
    sources: impl Iterator<Item = &'s PassageSource>,
    (notes, is_private): (&mut Vec<String>, bool),
) -> Result<Vec<Passage>, RunError> {
    let mut passages = Vec::new();
    for source in distinct(sources) {
        let read = source.read()?;
        notes.extend(hidden_in(&source.name(), &read, is_private));
        passages.extend(read);
    }
    Ok(passages)
}

/// A note on the first character of some passages that is not seen; a private one quotes nothing.
fn hidden_in(name: &str, passages: &[Passage], is_private: bool) -> Option<String> {
    let texts = passages.iter().enumerate().flat_map(|(at, passage)| {
        let texts = passage.question.iter().chain([&passage.text]);
        texts.map(move |text| (at + 1, text.as_str()))
    });
    let mut found = texts.flat_map(|(at, text)| {
        hidden_characters(text).map(move |it| match is_private {
            true => (at, it.at_character(text)),
            false => (at, it.after_word(text)),
        })
    });
    let (passage, what) = found.next()?;
    let more = match found.count() {
        0 => String::new(),
        n => format!(", and the file {n} more such characters"),
    };
    Some(format!(
        "{name}: passage {passage} has {what}{more}; only text with the same character matches it"
    ))
}

fn references(operations: &[&PassageOperation]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in operations.iter().flat_map(|found| &found.references) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Takes the passages that repeat forget passages out of the retain set.
fn closure(passages: &[Passage], retain: &mut Vec<Passage>) -> Vec<(NearDuplicate, String)> {
    let texts = |set: &[Passage]| -> Vec<String> {
        let text = |p: &Passage| format!("{} {}", p.question.as_deref().unwrap_or(""), p.text);
        set.iter().map(text).collect()
    };
    let kept = texts(retain);
    let found = gradient::near_duplicates(&texts(passages), &kept);
    let mut index = 0;
    retain.retain(|_| {
        index += 1;
        !found.iter().any(|pair| pair.retain == index - 1)
    });
    found.into_iter().map(|pair| (pair.clone(), kept[pair.retain].trim().to_owned())).collect()
}
