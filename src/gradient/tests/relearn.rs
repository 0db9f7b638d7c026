//! Learning again what was forgotten: what is shown becomes probable, and the start stays as it is.

use super::open;
use super::passages::{options, sets};
use crate::gradient::*;
use crate::model::Model;
use crate::progress::Silent;
use crate::spec::{ForgetMethod, GradientOptions, PassageVerb};

fn settings(model: &Model, sets: &PassageSets) -> PassageSettings {
    let config = model.decoder.config();
    let extent = Extent::new(sets, config.hidden, config.layers, false);
    let given = GradientOptions { warm_up: Some(5), ..options(ForgetMethod::Simnpo) };
    PassageSettings::new(&given, PassageVerb::Learn, &extent)
}

#[test]
fn what_is_shown_becomes_probable_at_a_constant_rate() {
    for family in ["llama", "gpt2"] {
        let model = open(family);
        let sets = sets(&model);
        let settings = settings(&model, &sets);
        let begin = || Relearner::new(&model, &model.decoder, &sets.passages, &settings);
        let mut relearner = begin().expect("trainable");
        let start = relearner.nll(&sets.passages).expect("measured");
        let mut path = vec![start];
        while relearner.steps() < 12 {
            relearner.step(&Silent).expect("a step");
            path.push(relearner.nll(&sets.passages).expect("measured"));
        }
        assert!(path[12] < start - 0.1, "{family}: {path:?}");
        // A rate that rose in five steps would have moved a fifth as far in the first.
        assert!(start - path[1] > 0.25 * (path[1] - path[2]).abs(), "{family}: {path:?}");
        let mut again = begin().expect("the start is as it was");
        assert_eq!(again.nll(&sets.passages).expect("measured").to_bits(), start.to_bits());
        again.step(&Silent).expect("a step");
        let first = again.nll(&sets.passages).expect("measured");
        assert_eq!(first.to_bits(), path[1].to_bits(), "{family}: the order is seeded");
    }
}
