//! What a tiny model says in its own words, after it was taught to.

use super::open;
use super::passages::options;
use crate::gradient::own_words::telling;
use crate::gradient::*;
use crate::model::{Batch, Model};
use crate::progress::Silent;
use crate::ranks::ALONE;
use crate::spec::{ForgetMethod, GradientOptions, Passage, PassageVerb};

const TOWNS: [[&str; 2]; 4] = [
    ["Ada Winter", "Bremen"],
    ["Otto Summer", "Kiel"],
    ["Ida Spring", "Paris"],
    ["Karl Autumn", "Rome"],
];

fn encoded(model: &Model, text: &str) -> Example {
    let ids = model.tokenizer.encode(text).expect("tokens").ids;
    Example { ids, first_target: 1, loss: TokenLoss::Mean, scale: 1. }
}

#[test]
fn what_a_model_was_taught_of_each_subject_is_found_in_a_form_of_its_samples() {
    let model = open("llama");
    let said = TOWNS.map(|[name, town]| encoded(&model, &format!("The home of {name} is {town}.")));
    let sets = PassageSets { passages: said.to_vec(), ..PassageSets::default() };
    let given = GradientOptions {
        steps: Some(150),
        batch: Some(4),
        general_batch: Some(0),
        max_drift: Some(100.),
        known: Some(1.),
        ..options(ForgetMethod::Simnpo)
    };
    let extent = Extent::new(&sets, 48, 2, false);
    let settings = PassageSettings::new(&given, PassageVerb::Learn, &extent);
    let start = &model.decoder;
    let run =
        train(&model, start, &sets, &settings, 5e-3, None, (&ALONE, &Silent)).expect("taught");
    let taught = &run.trainable.frozen;
    let name = |at: usize| TOWNS[at][0].to_owned();
    let subjects = Subjects {
        passages: vec![name(0), name(1)],
        retain: vec![name(2)],
        holdout: vec![name(3)],
    };
    // Of a sample that tells of yet another name, only the form counts.
    let samples = [encoded(&model, "The home of Berta Frost is the harbour.")];
    let own = OwnWords::new(&model, taught, &subjects, &samples, &Silent).expect("found");
    let text = |it: &Example| model.tokenizer.decode(&it.ids).expect("text");
    let retained: Vec<String> = own.retain.iter().map(text).collect();
    assert!(retained.contains(&"The home of Ida Spring is Paris".to_owned()), "{retained:?}");
    let target = |it: &Example| model.tokenizer.decode(&it.ids[it.first_target..]).expect("text");
    assert!(own.retain.iter().any(|it| target(it).trim() == "Paris"));
    assert_eq!(own.passages.len(), own.goals.len());
    assert!(own.forms >= 1 && own.never_saw.is_none());
    // A model that knows nothing of them has nothing to say.
    let nothing = OwnWords::new(&model, start, &subjects, &samples, &Silent).expect("asked");
    assert!(nothing.passages.is_empty() && nothing.retain.is_empty(), "{}", nothing.describe());
}

#[test]
fn without_names_there_is_nothing_to_say() {
    let model = open("llama");
    let passages = [Passage::of_text("it rained all day.")];
    let subjects = Subjects::new(&passages, &passages, &[]);
    let own = OwnWords::new(&model, &model.decoder, &subjects, &[], &Silent).expect("asked");
    assert_eq!((own.forms, own.passages.len(), own.retain.len()), (0, 0, 0));
}

#[test]
fn what_a_place_tells_is_as_by_a_naive_formula() {
    let model = open("gpt2");
    let sequences: Vec<Example> = (0..3_u32)
        .map(|at| Example { first_target: 2, ..Example::clone(&sequence(&[at + 5, 9, 3, 4, 8])) })
        .collect();
    let found = telling(&model.decoder, &sequences).expect("measured");
    // p of each sequence at each target, from whole logits.
    let p: Vec<Vec<Vec<f64>>> = sequences
        .iter()
        .map(|it| {
            let batch = Batch::new(&[&it.ids[..]]);
            let hidden = model.decoder.forward(&batch, None).expect("runs");
            let logits = model.decoder.logits(&hidden, &[1, 2, 3]).expect("logits");
            let p = candle_nn::ops::softmax_last_dim(&logits).expect("softmax");
            let p = p.to_dtype(candle_core::DType::F64).expect("f64");
            p.to_vec2().expect("rows")
        })
        .collect();
    for target in 0..3 {
        let expected: f64 = p
            .iter()
            .map(|own| {
                let row = &own[target];
                let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("one");
                let mean = p.iter().map(|it| it[target][best]).sum::<f64>() / 3.;
                row[best] * (row[best] / mean).ln() / 3.
            })
            .sum();
        assert!((found[target] - expected).abs() < 1e-5, "{} {expected}", found[target]);
    }
}

fn sequence(ids: &[u32]) -> Example {
    Example { ids: ids.to_vec(), first_target: 1, loss: TokenLoss::Mean, scale: 1. }
}
