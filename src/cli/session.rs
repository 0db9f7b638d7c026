//! The first steps that several verbs share: finding the model, opening it, reading patches.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use tempfile::TempDir;

use super::args::{DeviceName, Global};
use super::exit::Usage;
use super::ui::Ui;
use rescribe::model::{Decoder, Model};
use rescribe::patch::{Composed, Patch, compose};
use rescribe::progress::{Progress, counted};
use rescribe::source::{SourceError, SourceOptions, resolve};

/// An opened model and its display name.
pub struct Session {
    pub model: Model,
    pub name: String,
    pub cache: PathBuf,
    /// The GGUF file that the model was imported from.
    pub gguf: Option<PathBuf>,
    /// Stands in for a cache that cannot be written.
    _temporary: Option<TempDir>,
}

impl Session {
    /// Finds and opens the model that a flag or a spec names.
    pub fn open(name: Option<&str>, global: &Global, ui: &Ui) -> anyhow::Result<Self> {
        let device = device(global.device)?;
        let mut options = SourceOptions::from_variables(&|name| std::env::var_os(name));
        options.hub.ignored_config_keys.clone_from(&global.ignore_config_key);
        let mut temporary = stand_in(&options.cache, ui);
        if let Some(folder) = &temporary {
            options.cache = folder.path().to_owned();
        }
        let folder = match resolve(name, &options, ui) {
            // A model does not fit on the disk of the cache: another one may have room.
            Err(SourceError::Cache { source, .. })
                if temporary.is_none() && source.kind() == ErrorKind::StorageFull =>
            {
                let folder = instead_of(&options.cache, &source.to_string(), ui)?;
                options.cache = folder.path().to_owned();
                temporary = Some(folder);
                resolve(name, &options, ui)?
            }
            found => found?,
        };
        let model = Model::open_ignoring(&folder.path, &device, &global.ignore_config_key, ui)
            .with_context(|| format!("cannot open the model in {}", folder.path.display()))?;
        ui.close();
        let config = model.decoder.config();
        let parameters = parameters(&model)? as f64 / 1e6;
        ui.note(
            "model",
            &format!(
                "{} · {} · {} · {parameters:.1} M parameters",
                folder.name,
                config.model_type,
                counted(config.layers, "layer")
            ),
        );
        let (name, gguf, cache) = (folder.name, folder.gguf, options.cache);
        Ok(Self { model, name, cache, gguf, _temporary: temporary })
    }

    /// Reads patches, composed ones part by part, and checks that they were made for this model.
    pub fn patches(&self, files: &[PathBuf], ui: &Ui) -> anyhow::Result<Vec<Patch>> {
        let weights = match files {
            [] => return Ok(Vec::new()),
            _ => self.model.weights_hash()?,
        };
        let patch = |file: &PathBuf| {
            let composed = self.patch(file)?;
            if composed.parts().any(|(_, patch)| patch.recipe.base.weights != weights) {
                ui.warn(&format!(
                    "{} was made for other weights than those of {}: they differ in tensors that \
                     it does not change, so that what it was measured to do may not hold",
                    file.display(),
                    self.name
                ));
            }
            Ok(composed)
        };
        let sets = files.iter().map(patch).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Composed::union(sets)?.into_patches())
    }

    fn patch(&self, file: &Path) -> anyhow::Result<Composed> {
        let composed = Composed::read(file)?;
        let model = &self.model;
        for (_, patch) in composed.parts() {
            patch
                .check_base(&model.weights, &model.tokenizer.hash(), &model.config_hash)
                .with_context(|| format!("cannot apply {}", file.display()))?;
        }
        Ok(composed)
    }

    /// The decoder as the patches change it.
    pub fn patched(&self, patches: &[Patch]) -> anyhow::Result<Decoder> {
        let delta = compose(patches)?;
        let dense =
            delta.changes.iter().map(|(name, change)| Ok((name.as_str(), change.to_dense()?)));
        let dense = dense.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(self.model.edited(dense)?)
    }
}

/// A temporary folder where the cache cannot be written, as in a home that is read-only.
fn stand_in(cache: &Path, ui: &Ui) -> Option<TempDir> {
    let probe = std::fs::create_dir_all(cache).and_then(|()| tempfile::tempfile_in(cache));
    instead_of(cache, &probe.err()?.to_string(), ui).ok()
}

/// A temporary folder in place of a cache that cannot be written for this reason.
fn instead_of(cache: &Path, reason: &str, ui: &Ui) -> std::io::Result<TempDir> {
    let temporary = tempfile::tempdir()?;
    ui.warn(&format!(
        "the cache {} cannot be written ({reason}): what it would hold is computed again each \
         time; RESCRIBE_CACHE names another folder",
        cache.display()
    ));
    Ok(temporary)
}

fn parameters(model: &Model) -> anyhow::Result<usize> {
    let mut total = 0;
    for name in model.weights.names() {
        total += model.weights.shape(name)?.iter().product::<usize>();
    }
    Ok(total)
}

fn device(name: DeviceName) -> anyhow::Result<Device> {
    match name {
        DeviceName::Cpu => Ok(Device::Cpu),
        DeviceName::Cuda => Device::new_cuda(0).map_err(|error| {
            Usage(format!("--device cuda: {error}; build with --features cuda")).into()
        }),
        DeviceName::Metal => Device::new_metal(0).map_err(|error| {
            Usage(format!("--device metal: {error}; build with --features metal")).into()
        }),
    }
}

impl Session {
    /// A model that never saw some passages: a patch of this model, or another one with its tokens.
    pub fn reference(&self, name: &str, global: &Global, ui: &Ui) -> anyhow::Result<Decoder> {
        if name.ends_with(".safetensors") && Path::new(name).is_file() {
            return self.patched(&self.patches(&[PathBuf::from(name)], ui)?);
        }
        let other = Self::open(Some(name), global, ui)?;
        if other.model.tokenizer.hash() != self.model.tokenizer.hash() {
            let message = format!(
                "its tokenizer differs from that of {}, so that the two cannot be compared",
                self.name
            );
            return Err(Usage(message).into());
        }
        Ok(other.model.decoder)
    }
}

/// ` --model NAME` for the command to try next; nothing where no model was named.
pub fn model_flag(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" --model {name}") }
}
