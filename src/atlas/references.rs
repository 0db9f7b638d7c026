//! References trained on request: models of the world that never read about the people whom some
//! passages name.

use std::fs;
use std::path::{Path, PathBuf};

use super::corpus::Without;
use super::error::TrainingError;
use super::recipe::TrainingRecipe;
use super::train::Training;
use super::world::{Group, World};
use crate::files::{FileError, Overwrite, Sha256, keep_sealed, read_regular, read_sealed};
use crate::progress::Progress;

/// The folder of the cache that holds them.
const FOLDER: &str = "references";
/// The files whose bytes decide what a reference computes.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];
/// No file of a reference is larger.
const LARGEST: u64 = 1 << 30;

/// References to train.
#[derive(Debug, Clone)]
pub struct References<'a> {
    /// Names of people whose documents are left out.
    pub without: Vec<String>,
    /// Number of references, each from a seed of its own: 1, 2, 3 and so on.
    pub count: u64,
    /// How they are trained.
    pub recipe: &'a TrainingRecipe,
}

impl<'a> References<'a> {
    /// References without the people whom `passages` name.
    ///
    /// # Errors
    ///
    /// [`TrainingError::NamesNobody`] where they name nobody of the world's corpus.
    pub fn of(
        passages: &[String],
        count: u64,
        recipe: &'a TrainingRecipe,
    ) -> Result<Self, TrainingError> {
        let world = World::generate(super::WORLD_SEED);
        let is_named = |name: &str| passages.iter().any(|text| text.contains(name));
        let read = world.people.iter().filter(|person| person.group != Group::Holdout);
        let without: Vec<String> =
            read.map(|person| person.name.clone()).filter(|name| is_named(name)).collect();
        match without.is_empty() {
            true => Err(TrainingError::NamesNobody),
            false => Ok(Self { without, count, recipe }),
        }
    }

    /// The folders of the references in `cache`, each trained where it is not there yet.
    pub fn folders(
        &self,
        cache: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<PathBuf>, TrainingError> {
        let all = cache.join(FOLDER);
        fs::create_dir_all(&all).map_err(FileError::writing(&all))?;
        (1..=self.count).map(|seed| self.folder(&all, seed, progress)).collect()
    }

    fn folder(
        &self,
        all: &Path,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<PathBuf, TrainingError> {
        let recipe = serde_json::to_string(self.recipe).expect("numbers have a JSON form");
        let version = env!("CARGO_PKG_VERSION");
        let key = Sha256::of(format!("{version} {recipe} seed {seed} {:?}", self.without));
        let folder = all.join(key.to_string());
        let seal = all.join(format!("{key}.digest"));
        let kept = read_sealed(&seal, progress);
        if kept.is_some() && kept.as_deref() == digest(&folder).as_ref().map(String::as_bytes) {
            return Ok(folder);
        }
        let without = Without::People(self.without.clone());
        let training = Training { seed, without: &without, recipe: self.recipe, checkpoint: None };
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(FileError::writing(&folder))?;
        }
        training.run(&folder, Overwrite::Refuse, progress)?;
        if let Some(digest) = digest(&folder) {
            keep_sealed(&seal, &[digest.as_bytes()], progress);
        }
        Ok(folder)
    }
}

/// The digests of a reference's files; nothing where one cannot be read.
fn digest(folder: &Path) -> Option<String> {
    let digest = |name: &&str| read_regular(&folder.join(name), LARGEST).ok().map(Sha256::of);
    let digests: Option<Vec<String>> =
        FILES.iter().map(|name| digest(name).map(|it| it.to_string())).collect();
    digests.map(|digests| digests.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn tiny() -> TrainingRecipe {
        TrainingRecipe { epochs: 1, batch: 8192, ..super::super::train::tests::tiny() }
    }

    #[test]
    fn the_people_whom_passages_name_are_left_out() {
        let world = World::generate(super::super::WORLD_SEED);
        let person = world.group(Group::Forget).next().expect("somebody");
        let unread = world.group(Group::Holdout).next().expect("somebody");
        let recipe = TrainingRecipe::default();
        let passages = [person.passage.clone(), unread.passage.clone()];
        let references = References::of(&passages, 2, &recipe).expect("named");
        assert_eq!(references.without, std::slice::from_ref(&person.name));
        let nobody = References::of(&["The goose slept.".to_owned()], 2, &recipe);
        assert!(matches!(nobody, Err(TrainingError::NamesNobody)));
    }

    #[test]
    fn a_reference_is_trained_once_and_again_where_a_byte_changed() {
        let cache = tempfile::tempdir().expect("a folder");
        let recipe = tiny();
        let references =
            References { without: vec!["Clio Sandby".into()], count: 2, recipe: &recipe };
        let folders = references.folders(cache.path(), &Silent).expect("trained");
        assert_ne!(digest(&folders[0]), digest(&folders[1]), "each has a seed of its own");
        let weights = folders[0].join("model.safetensors");
        let changed_at = || fs::metadata(&weights).expect("a file").modified().expect("a time");
        let (time, whole) = (changed_at(), fs::read(&weights).expect("read"));
        assert_eq!(references.folders(cache.path(), &Silent).expect("kept"), folders);
        assert_eq!(changed_at(), time, "nothing was trained again");
        let mut damaged = whole.clone();
        *damaged.last_mut().expect("bytes") ^= 1;
        fs::write(&weights, damaged).expect("written");
        references.folders(cache.path(), &Silent).expect("trained again");
        assert_eq!(fs::read(&weights).expect("read"), whole);
    }
}
