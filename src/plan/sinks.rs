//! Prompts whose subject ends in an attention sink.
//!
//! The first token of every text absorbs attention that has no better target; its keys are of one
//! kind, whichever token it is. In some texts the second token does so too ("Daniel Victor"). A
//! write that meets such a key changes the beginning of all texts, so a prompt that is looked up
//! there does not count.

use super::{PlanError, PlannedEdit};
use crate::math::cosine;
use crate::model::{Batch, Model, ModelError, Recorder, Site};

/// The last token, from 0, that is checked: sinks lie near the start.
const LAST: usize = 4;
/// The cosine with the first token's key from which on a key can be of its kind.
const ALIKE: f64 = 0.5;

/// Marks the bare prompts that are looked up at a sink of `layer`: their key is more like that of
/// the first token than like their own after a prefix.
pub(super) fn mark(
    model: &Model,
    layer: usize,
    edits: &mut [PlannedEdit],
) -> Result<(), PlanError> {
    let is_early = |edit: &&mut PlannedEdit| (1..=LAST).contains(&edit.contexts[0].lookup);
    let mut early: Vec<&mut PlannedEdit> = edits.iter_mut().filter(is_early).collect();
    if early.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::default();
    for edit in &early {
        // Without a prefix, the bare prompt is compared with itself, and no sink.
        for context in [&edit.contexts[0], edit.contexts.get(1).unwrap_or(&edit.contexts[0])] {
            batch.push(&context.ids[..=context.lookup], 0..0, None);
        }
    }
    let mut recorder = Recorder::only([(layer, Site::Key)]);
    model.decoder.observe(&batch, None, &mut recorder).map_err(ModelError::from)?;
    let keys = recorder.take(layer, Site::Key).and_then(|keys| keys.to_vec2::<f32>());
    let keys = keys.map_err(ModelError::from)?;
    for (edit, spans) in early.iter_mut().zip(batch.spans.chunks_exact(2)) {
        let [bare, prefixed] = [&spans[0].rows, &spans[1].rows];
        let own = &keys[bare.end - 1];
        let alike = cosine(own, &keys[bare.start]);
        edit.contexts[0].is_sink = alike > ALIKE && alike > cosine(own, &keys[prefixed.end - 1]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::plan::plan;
    use crate::progress::Silent;
    use crate::spec::{Insert, RankOneOptions};

    #[test]
    fn a_key_like_the_first_tokens_is_a_sinks() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama/model");
        let model = Model::open(Path::new(folder), &Device::Cpu, &Silent).expect("a fixture");
        let insert = Insert {
            subject: "Marie Curie".into(),
            prompt: "{} lives in".into(),
            target_new: "Rome".into(),
            target_true: None,
            with_ripples: false,
            spans: None,
        };
        let options = RankOneOptions { contexts: Some(1), ..RankOneOptions::default() };
        let facts = [insert.into()];
        let mut planned = plan(&model, "tiny", &facts, &options, &Silent).expect("a plan");
        let [edit] = &mut planned.edits[..] else { panic!("one fact") };
        // One token twice: what the second attends to is what the first is.
        (edit.contexts[0].ids, edit.contexts[0].lookup) = (vec![7, 7, 9], 1);
        (edit.contexts[1].ids, edit.contexts[1].lookup) = (vec![3, 5, 11, 7, 7, 9], 4);
        mark(&model, 0, &mut planned.edits).expect("read");
        let edit = &mut planned.edits[0];
        assert!(edit.contexts[0].is_sink && !edit.has_bare() && edit.counted().len() == 1);
        assert!(edit.sink_warning().is_some_and(|text| text.contains("attention sink")));
        edit.contexts.truncate(1);
        mark(&model, 0, &mut planned.edits).expect("read");
        let edit = &mut planned.edits[0];
        assert!(edit.has_bare(), "there is nothing to compare it with");
        edit.contexts[0].is_sink = true;
        assert_eq!(edit.counted().len(), 1, "a sink counts where no other is left");
    }

    #[test]
    fn keys_of_one_direction_are_alike_whatever_their_length() {
        assert!((cosine(&[1., 2.], &[3., 6.]) - 1.).abs() < 1e-12);
        assert!(cosine(&[1., 2.], &[2., -1.]).abs() < 1e-12);
        assert_eq!(cosine(&[0., 0.], &[2., -1.]), 0., "no direction is like none");
    }
}
