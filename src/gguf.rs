//! A GGUF file -> a Hugging Face folder that every other part of the crate can read, and back.
//!
//! ```text
//! bytes --header--> metadata, tensors --family--> names, shapes, order --convert-->
//! model.safetensors
//!                       |--config, rope--> config.json, generation_config.json
//!                       `--vocabulary, pre_tokenizer--> tokenizer.json and the files next to it
//!
//! another file, edited --draft----\
//! a folder --from_model, tokens----> a file in the making --draft--> bytes
//! low-rank changes --adapter------/
//! ```
//!
//! The same file gives the same bytes on every machine. The folder appears
//! whole or not at all. Nothing in the file is trusted (see `header`).

mod adapter;
mod convert;
mod description;
mod draft;
mod error;
mod families;
mod family;
mod folder;
mod from_model;
mod header;
mod keys;
mod metadata;
mod model_keys;
mod order;
mod pre_tokenizer;
mod read_back;
mod rope;
mod sentence_piece;
mod sizes;
mod split;
mod tensor_type;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr};

use memmap2::Mmap;
use serde_json::Value;

pub(crate) use self::adapter::adapter;
pub use self::description::{Description, describe};
pub(crate) use self::draft::{Contents, Draft, DraftFailure, GgufFile};
pub use self::error::{DraftError, GgufError, GgufFault};
pub use self::folder::IMPORT;
pub(crate) use self::from_model::Types;
pub(crate) use self::split::parts;
pub use self::tensor_type::{EditedAs, GgufType};
use self::{
    convert::{Conversion, Failure},
    family::{Described, GgufFamily, Object, Planned},
    folder::Staged,
    header::GgufHeader,
    order::Order,
    sizes::Sizes,
    split::Files,
    vocabulary::Vocabulary,
};
use crate::files::{self, FileError};
use crate::progress::{Progress, counted};

/// Whether everything before the tensors of a GGUF file can be read.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    GgufHeader::parse(bytes).is_ok()
}

/// How the folder is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Type of every tensor in `model.safetensors`.
    pub dtype: ImportDtype,
    /// Replaces an existing folder, if all it holds is an imported model.
    pub force: bool,
}

/// Type of the imported numbers. Only `f32` holds every dequantised number exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportDtype {
    /// 4 bytes a parameter.
    #[default]
    F32,
    /// 2 bytes a parameter, 11 significant bits, up to 65504.
    F16,
    /// 2 bytes a parameter, 8 significant bits, the range of f32.
    Bf16,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportSummary {
    /// Architecture as the file declares it, such as `llama`.
    pub architecture: String,
    /// Name of the model as the file declares it.
    pub name: Option<String>,
    /// Layers of the model.
    pub layers: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Tensors written.
    pub tensors: usize,
    /// Numbers written.
    pub parameters: u64,
    /// Size of `model.safetensors` in bytes.
    pub bytes: u64,
    /// How many tensors were stored in each type, by its name in GGUF.
    pub types: BTreeMap<String, usize>,
}

/// Turns a GGUF file (version 2 or 3) into a Hugging Face folder at `out`.
///
/// # Errors
/// Names what is wrong with the file, or which path could not be read or
/// written; `out` is then as it was before.
pub fn import(
    gguf: &Path,
    out: &Path,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportSummary, GgufError> {
    let in_file = |source| GgufError::Malformed { path: gguf.to_owned(), source };
    let files = Files::open(gguf)?;
    let header = files.header().map_err(in_file)?;
    let model = Model::describe(&header).map_err(in_file)?;
    let texts = model.texts(options.dtype).map_err(in_file)?;
    let staged = Staged::begin(gguf, out, options.force)?;
    for (name, bytes) in texts {
        staged.write_bytes(name, &bytes)?;
    }
    progress.phase("import", Some(model.parameters()));
    let conversion = Conversion { header: &header, dtype: options.dtype, head: model.sizes.head };
    let written = staged.write(WEIGHTS, |file| conversion.write(&model.plan, file, progress));
    let size = written.map_err(|failure| match failure {
        Failure::Fault(fault) => in_file(fault),
        Failure::Write(error) => FileError::writing(&out.join(WEIGHTS))(error).into(),
        Failure::Interrupted(interrupted) => interrupted.into(),
    })?;
    staged.commit()?;
    let summary = model.summary(size);
    progress.finish(&summary.to_string());
    Ok(summary)
}

const WEIGHTS: &str = "model.safetensors";

fn map(path: &Path) -> Result<Mmap, GgufError> {
    let failed = FileError::reading(path);
    let file = files::open_regular(path).map_err(&failed)?;
    // SAFETY: the map is only read. Another process that cuts the file while
    // it is imported stops this one, as for every mapped model file.
    Ok(unsafe { Mmap::map(&file) }.map_err(failed)?)
}

/// Checks that a file is a model that can be imported, by its header alone.
pub(crate) fn check(gguf: &Path) -> Result<(), GgufError> {
    let in_file = |source| GgufError::Malformed { path: gguf.to_owned(), source };
    let files = Files::open(gguf)?;
    let header = files.header().map_err(in_file)?;
    Model::describe(&header).map(drop).map_err(in_file)
}

/// A tensor of the file, and the order of its numbers.
struct Place<'a> {
    source: &'a str,
    order: Order,
}

/// Everything that the folder will declare, before the first number is read.
struct Model<'a> {
    header: &'a GgufHeader<'a>,
    family: &'static GgufFamily,
    sizes: Sizes,
    is_tied: bool,
    vocabulary: Vocabulary<'a>,
    plan: Vec<Planned<'a>>,
}

impl<'a> Model<'a> {
    fn describe(header: &'a GgufHeader<'a>) -> Result<Model<'a>, GgufFault> {
        let metadata = &header.metadata;
        let (all, found) = (header.split_count()?, header.file_count());
        if all != found {
            return Err(GgufFault::Split { all, found });
        }
        let family = families::declared(metadata)?;
        let rows = family::vocabulary_size(header)?;
        let sizes = Sizes::read(metadata, family.architecture, rows)?;
        let is_tied = family::is_tied(header);
        let plan = family.plan(header, &sizes, is_tied)?;
        let vocabulary = Vocabulary::read(metadata, family, rows)?;
        Ok(Model { header, family, sizes, is_tied, vocabulary, plan })
    }

    /// Where the file has the numbers of a tensor of the folder: in two places where an embedding
    /// is the head as well, and written twice.
    fn places(&self, tensor: &str) -> Result<Vec<Place<'a>>, GgufFault> {
        let own = self.plan.iter().find(|planned| planned.name == tensor);
        let own = own.ok_or_else(|| GgufFault::MissingTensor(tensor.to_owned()))?;
        let place = |source| Place { source, order: own.order };
        let head = self.header.tensors.get_key_value(family::HEAD).map(|(name, _)| *name);
        let again = head.filter(|_| self.is_tied && own.source == family::EMBEDDING);
        Ok([own.source].into_iter().chain(again).map(place).collect())
    }

    /// All files but the weights.
    fn texts(&self, dtype: ImportDtype) -> Result<Vec<(&'static str, Vec<u8>)>, GgufFault> {
        let described = Described {
            family: self.family,
            sizes: &self.sizes,
            is_tied: self.is_tied,
            biases: self.family.biases(self.header),
        };
        let special = self.vocabulary.special();
        let mut config = self.family.config_of(self.header, &described)?;
        config.extend(special.entries());
        config.insert("torch_dtype".to_owned(), dtype.torch_name().into());
        Ok(vec![
            ("config.json", pretty(config)),
            ("generation_config.json", pretty(special.generation())),
            ("special_tokens_map.json", pretty(self.vocabulary.special_tokens())),
            ("tokenizer.json", self.vocabulary.tokenizer_json()?),
            ("tokenizer_config.json", pretty(self.vocabulary.config(self.sizes.context))),
        ])
    }

    fn parameters(&self) -> u64 {
        self.plan.iter().map(Planned::elements).sum()
    }

    fn summary(&self, bytes: u64) -> ImportSummary {
        let mut types = BTreeMap::new();
        for planned in &self.plan {
            *types.entry(planned.entry.kind.name()).or_default() += 1;
        }
        ImportSummary {
            architecture: self.family.architecture.to_owned(),
            name: self.header.metadata.text("general.name").ok().flatten().map(str::to_owned),
            layers: self.sizes.layers,
            vocabulary: self.sizes.vocabulary,
            tensors: self.plan.len(),
            parameters: self.parameters(),
            bytes,
            types,
        }
    }
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millions = self.parameters as f64 / 1e6;
        let (layers, tensors) = (counted(self.layers, "layer"), counted(self.tensors, "tensor"));
        write!(f, "{}, {layers}, {millions:.1} M parameters, {tensors} from", self.architecture)?;
        for (index, (kind, count)) in self.types.iter().enumerate() {
            write!(f, "{} {count} {kind}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl ImportDtype {
    /// Bytes of one number.
    fn size(self) -> u64 {
        match self {
            ImportDtype::F32 => 4,
            ImportDtype::F16 | ImportDtype::Bf16 => 2,
        }
    }

    fn safetensors_name(self) -> &'static str {
        match self {
            ImportDtype::F32 => "F32",
            ImportDtype::F16 => "F16",
            ImportDtype::Bf16 => "BF16",
        }
    }

    fn torch_name(self) -> &'static str {
        match self {
            ImportDtype::F32 => "float32",
            ImportDtype::F16 => "float16",
            ImportDtype::Bf16 => "bfloat16",
        }
    }
}

impl fmt::Display for ImportDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImportDtype::F32 => "f32",
            ImportDtype::F16 => "f16",
            ImportDtype::Bf16 => "bf16",
        })
    }
}

impl FromStr for ImportDtype {
    type Err = String;

    fn from_str(text: &str) -> Result<ImportDtype, String> {
        [ImportDtype::F32, ImportDtype::F16, ImportDtype::Bf16]
            .into_iter()
            .find(|dtype| dtype.to_string() == text)
            .ok_or_else(|| {
                format!("{text:?} is not a type of imported numbers, expected f32, f16 or bf16")
            })
    }
}

fn pretty(object: Object) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(&Value::Object(object))
        .expect("a JSON value with text keys can be written");
    text.push(b'\n');
    text
}
