//! Decides what the value of `--model` means: the built-in model, a folder, a GGUF file or a Hub
//! id.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{BUILT_IN, HubId, SourceError};

/// The kind of model that was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GivenModel {
    /// The model inside the binary.
    BuiltIn,
    /// An existing folder.
    Folder(PathBuf),
    /// An existing `.gguf` file.
    Gguf(PathBuf),
    /// The id of a repository.
    Hub(HubId),
}

/// Reads the argument; existing files and folders win over Hub ids.
pub(super) fn read(model: Option<&str>) -> Result<GivenModel, SourceError> {
    let given = match model {
        None | Some("" | BUILT_IN) => return Ok(GivenModel::BuiltIn),
        Some(given) => given,
    };
    let path = Path::new(given);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(GivenModel::Folder(path.to_owned())),
        Ok(_) if has_extension(path, "gguf") => Ok(GivenModel::Gguf(path.to_owned())),
        Ok(_) => Err(SourceError::NotAModelFile { path: path.to_owned() }),
        Err(error) if is_absence(&error) => read_absent(given),
        Err(source) => Err(SourceError::Read { path: path.to_owned(), source }),
    }
}

/// A path through a file (`model.gguf/x`) is as absent as one through nothing.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

fn read_absent(given: &str) -> Result<GivenModel, SourceError> {
    if let Some(reason) = path_likeness(given) {
        return Err(SourceError::NoSuchPath { given: given.to_owned(), reason });
    }
    match HubId::parse(given) {
        Some(id) if is_in_folder(&id) => Err(SourceError::InFolder { id }),
        Some(id) => Ok(GivenModel::Hub(id)),
        None => {
            Err(SourceError::Unreadable { given: given.to_owned(), perhaps: well_known(given) })
        }
    }
}

/// The organisations whose models have names that begin so, in lower case. Their ids once had no
/// organisation, or are often written without one.
const ORGANISATIONS: [(&str, &str); 15] = [
    ("gpt2", "openai-community"),
    ("distilgpt2", "distilbert"),
    ("smollm", "HuggingFaceTB"),
    ("qwen", "Qwen"),
    ("pythia-", "EleutherAI"),
    ("gpt-neox", "EleutherAI"),
    ("gpt-j", "EleutherAI"),
    ("mistral-", "mistralai"),
    ("llama-", "meta-llama"),
    ("gemma-", "google"),
    ("olmo-", "allenai"),
    ("phi-", "microsoft"),
    ("granite-", "ibm-granite"),
    ("starcoder2", "bigcode"),
    ("stablelm-", "stabilityai"),
];

/// The id that a name without an organisation may stand for.
fn well_known(given: &str) -> Option<String> {
    let name = given.to_lowercase();
    let (_, organisation) = ORGANISATIONS.iter().find(|(start, _)| name.starts_with(start))?;
    let id = format!("{organisation}/{given}");
    HubId::parse(&id).map(|_| id)
}

/// Whether an id looks like a path here: a folder has the name of its organisation, and no revision
/// says that the Hub is meant.
fn is_in_folder(id: &HubId) -> bool {
    let organisation = id.name.split('/').next().unwrap_or_default();
    id.revision.is_none() && Path::new(organisation).is_dir()
}

/// Why a text can only be meant as a path, or nothing if it may be a Hub id.
fn path_likeness(given: &str) -> Option<&'static str> {
    let path = Path::new(given);
    let (before_revision, _) = given.split_once('@').unwrap_or((given, ""));
    if given.starts_with('~') {
        Some("it starts with \"~\", which only a shell expands")
    } else if given.starts_with('.') {
        Some("it starts with \".\"")
    } else if path.is_absolute() || given.starts_with('/') {
        Some("it is absolute")
    } else if given.contains('\\') {
        Some("it contains \"\\\"")
    } else if given.ends_with('/') {
        Some("it ends with \"/\"")
    } else if has_extension(path, "gguf") || has_extension(path, "safetensors") {
        Some("it ends like a weights file")
    } else if before_revision.matches('/').count() > 1 {
        Some("it has more than one \"/\"")
    } else {
        None
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_things_are_read_by_their_look() {
        let rows = [
            ("./org/name", "it starts with \".\""),
            ("../name", "it starts with \".\""),
            ("~/models/x", "it starts with \"~\""),
            ("/nowhere/x", "it is absolute"),
            ("nowhere\\x", "it contains"),
            ("nowhere/x/", "it ends with \"/\""),
            ("nowhere/x.gguf", "it ends like a weights file"),
            ("x.Q4_1.GGUF", "it ends like a weights file"),
            ("nowhere/to/find", "it has more than one"),
        ];
        for (given, expected) in rows {
            match read(Some(given)) {
                Err(error @ SourceError::NoSuchPath { .. }) => {
                    let message = error.to_string();
                    assert!(message.contains(expected), "{given}: {message}");
                    assert!(message.contains("org/name[@revision]"), "{message}");
                }
                other => panic!("{given}: {other:?}"),
            }
        }
        assert!(matches!(read(Some("no-org/no-name")), Ok(GivenModel::Hub(_))));
        assert!(matches!(read(Some("no-org/no-name@refs/pr/1")), Ok(GivenModel::Hub(_))));
        // Tests run in the folder of this package, which has a folder `src`.
        let error = read(Some("src/nope")).unwrap_err();
        assert!(error.to_string().contains("the folder src has no \"nope\""), "{error}");
        assert!(matches!(read(Some("src/nope@main")), Ok(GivenModel::Hub(_))));
        let error = read(Some("smollm2")).unwrap_err();
        assert!(matches!(&error, SourceError::Unreadable { .. }), "{error}");
        let rows = [
            ("gpt2", Some("openai-community/gpt2")),
            ("gpt2-xl@v1", Some("openai-community/gpt2-xl@v1")),
            ("SmolLM2-135M-Instruct", Some("HuggingFaceTB/SmolLM2-135M-Instruct")),
            ("distilgpt2", Some("distilbert/distilgpt2")),
            ("my-model", None),
            ("gpt2 large", None),
        ];
        for (given, expected) in rows {
            let error = read(Some(given)).unwrap_err().to_string();
            let suggests = expected.map_or("no suggestion".into(), |id| format!("mean {id}?"));
            assert_eq!(error.contains(&suggests), expected.is_some(), "{given}: {error}");
            assert!(expected.is_some() || !error.contains("did you mean"), "{given}: {error}");
        }
    }

    #[test]
    fn no_model_is_the_built_in_one() {
        for given in [None, Some(""), Some("atlas")] {
            assert_eq!(read(given).expect("a reading"), GivenModel::BuiltIn);
        }
    }

    #[test]
    fn existing_things_are_read_by_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, b"").unwrap();
            path
        };
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let gguf = file("tiny.gguf");
        assert_eq!(read(Some(&text(&gguf))).unwrap(), GivenModel::Gguf(gguf));
        let found = read(Some(&text(folder.path()))).unwrap();
        assert_eq!(found, GivenModel::Folder(folder.path().to_owned()));
        let weights = file("model.safetensors");
        let error = read(Some(&text(&weights))).unwrap_err();
        assert!(error.to_string().contains("name the folder"), "{error}");
        let through_a_file = read(Some(&text(&weights.join("x")))).unwrap_err();
        assert!(matches!(through_a_file, SourceError::NoSuchPath { .. }), "{through_a_file}");
    }
}
