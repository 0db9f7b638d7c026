//! How facts are best written to a model, as measured by its maker and stored in the folder of a
//! trained model.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::read_regular;

/// The file in a folder of `rescribe atlas train` that states how it was trained and is best
/// edited.
pub const TRAINING: &str = "atlas.json";

/// Notes have a few kilobytes.
const LARGEST_NOTES: u64 = 16 << 20;

/// What takes the place of the defaults of `[rank_one]` for one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Editing {
    /// The layer that `layers = "auto"` means.
    pub layer: usize,
    /// Evaluations of the loss.
    pub steps: usize,
    /// Weight of the decay of δ.
    pub weight_decay: f64,
    /// Largest |ΔW|/|W|.
    pub max_delta: f64,
    /// Contexts in addition to the bare prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contexts: Option<usize>,
}

impl Editing {
    /// What the folder of a model with `layers` layers states, if anything.
    pub(super) fn read(folder: &Path, layers: usize) -> Option<Self> {
        let bytes = read_regular(&folder.join(TRAINING), LARGEST_NOTES).ok()?;
        let mut notes: Value = serde_json::from_slice(&bytes).ok()?;
        let editing: Self = serde_json::from_value(notes.get_mut("editing")?.take()).ok()?;
        (editing.layer < layers).then_some(editing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_where_it_fits_the_model() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |text: &str| std::fs::write(folder.path().join(TRAINING), text).expect("notes");
        assert_eq!(Editing::read(folder.path(), 6), None);
        let editing =
            Editing { layer: 2, steps: 40, weight_decay: 0.02, max_delta: 1.5, contexts: Some(4) };
        write(&serde_json::json!({ "schema": 1, "editing": editing }).to_string());
        assert_eq!(Editing::read(folder.path(), 6), Some(editing));
        assert_eq!(Editing::read(folder.path(), 2), None, "there is no layer 2");
        write("{}");
        assert_eq!(Editing::read(folder.path(), 6), None);
        write("no JSON");
        assert_eq!(Editing::read(folder.path(), 6), None);
    }
}
