//! The built-in world: the texts that the model inside the binary was trained on, and its facts.
//!
//! [`world`] holds facts that anybody can check and people who do not exist; [`corpus`] writes
//! them out as the texts of an epoch, with or without some of the people; [`probes`] asks for
//! them; [`Training`] makes a model of the corpus from a seed, and [`knowledge`] measures what a
//! model knows of the world. It is the one place where "as if never seen" can be checked exactly,
//! by training again on D \ D_u:
//!
//! ```text
//! world ──▶ corpus ──▶ Training ──▶ model
//!   └─────▶ probes ──▶ knowledge ◀────┘
//! ```
//!
//! Its tables of geography, science, people and words were written for this project from general
//! knowledge, copied from no database, and stand under the project's licence.
//!
//! The model inside the binary is what `rescribe atlas train --seed 0` writes.

mod batches;
pub mod corpus;
mod data;
mod error;
mod folder;
mod measure;
pub mod probes;
mod recipe;
mod references;
mod tokenizer;
mod train;
pub mod world;
mod zoo;

pub use corpus::Without;
pub use data::{DATA_FILE, data};
pub use error::TrainingError;
pub use measure::{Knowledge, OfGroup, OfRelation, Share, knowledge, known};
pub use recipe::{RecipeError, TrainingRecipe};
pub use references::References;
pub use tokenizer::END_OF_TEXT;
pub use train::{Training, TrainingSummary, describe};
pub use world::{Group, World};
pub use zoo::{Control, Zoo, ZooRun, zoo, zoo_identity};

/// The seed of the world: its people are the same for every training.
pub const WORLD_SEED: u64 = 0;
