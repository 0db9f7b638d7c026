//! The tools that a run gets from its caller: cache, progress, reference models, checkpoints.

use std::path::Path;

use crate::checkpoint::StoredDtype;
use crate::gradient::Checkpointing;
use crate::model::Decoder;
use crate::progress::Progress;
use crate::ranks::{ALONE, Ranks};

/// Everything that a run needs in addition to the model and its plan.
pub struct Tools<'a> {
    /// The cache folder, kept between runs.
    pub cache: &'a Path,
    /// Receiver of the events of the run.
    pub progress: &'a dyn Progress,
    /// Opens a model that never saw the passages, by its name in the spec.
    pub open_reference: &'a OpenReference<'a>,
    /// The file in which a training is saved while it runs.
    pub checkpoint: Option<&'a Checkpointing>,
    /// The number type in which a folder would store the model that is measured; nothing: as
    /// computed.
    pub stored_as: Option<StoredDtype>,
    /// The processes that take part.
    pub ranks: &'a Ranks,
}

impl<'a> Tools<'a> {
    /// Tools with a cache folder and a receiver of events; without references, checkpoints,
    /// rounding and other processes.
    pub fn new(cache: &'a Path, progress: &'a dyn Progress) -> Self {
        let open_reference: &OpenReference<'_> =
            &|_| Err("this run was given no way to open reference models".into());
        Self { cache, progress, open_reference, checkpoint: None, stored_as: None, ranks: &ALONE }
    }
}

/// Opens a model by name; its tokens must be those of the base.
pub type OpenReference<'a> =
    dyn Fn(&str) -> Result<Decoder, Box<dyn std::error::Error + Send + Sync>> + 'a;
