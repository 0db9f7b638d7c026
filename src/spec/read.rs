//! From a path to a typed file: which format it is in, and the order in which it is checked.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::conflict::check_facts;
use super::erase::Erase;
use super::error::Problem;
use super::form::Form;
use super::insert::Insert;
use super::passages::{PassageOperation, PassageVerb};
use super::records::{self, BadRecords, RecordFile};
use super::settings::read as settings_of;
use super::table::{Fields, Problems, Text};
use super::text_file::{FileCheck, read_text};
use super::{EditInput, EditSpec, ProbeInput, PromptFile, PromptSet, SourceText, SpecError};
use super::{json, sheet};

/// Reads a spec file; the prompt and corpus files that it names must exist.
pub fn read_spec(path: &Path) -> Result<EditSpec, SpecError> {
    spec_of(read_text(path)?, folder_of(path), FileCheck::MustExist)
}

/// Reads a spec from its text, as a patch holds it; the files that it names are not looked for.
///
/// `name` is the path that it had: relative paths start from there.
pub fn parse_spec(name: &str, text: &str) -> Result<EditSpec, SpecError> {
    spec_of(SourceText::new(name, text), folder_of(Path::new(name)), FileCheck::NotAsked)
}

/// Reads what an edit can start from: a spec, a record collection, or a table of facts.
pub fn read_edit_input(path: &Path, bad: BadRecords) -> Result<EditInput, SpecError> {
    let source = read_text(path)?;
    if let Some(records) = records_of(&source, bad)? {
        return Ok(EditInput::Records(records));
    }
    let spec = spec_of(source, folder_of(path), FileCheck::MustExist)?;
    Ok(EditInput::Spec(Box::new(spec)))
}

/// The records of a file that holds some: JSON, or a table.
fn records_of(source: &SourceText, bad: BadRecords) -> Result<Option<RecordFile>, SpecError> {
    if sheet::is_sheet(source, &records::COLUMNS) {
        return records::read_sheet(source, bad).map(Some);
    }
    match json::is_json(source) {
        true => records::read_json(source, bad).map(Some),
        false => Ok(None),
    }
}

/// Reads what can be probed: a spec, a prompt file, a record collection, or a table of facts.
pub fn read_probe_input(path: &Path, bad: BadRecords) -> Result<ProbeInput, SpecError> {
    let source = read_text(path)?;
    if let Some(records) = records_of(&source, bad)? {
        return Ok(ProbeInput::Prompts(PromptFile::Records(records)));
    }
    if !is_spec(source.text()) {
        return prompts_of(source).map(ProbeInput::Prompts);
    }
    let spec = spec_of(source, folder_of(path), FileCheck::MustExist)?;
    Ok(ProbeInput::Spec(Box::new(spec)))
}

/// Tables and keys that only specs have.
const OF_SPECS: [&str; 8] =
    ["model", "rank_one", "insert", "erase", "gradient", "learn", "verdict", "probe"];
/// Tables that only prompt files have.
const OF_PROMPTS: [&str; 7] =
    ["rewrite", "paraphrase", "neighborhood", "ripple", "generation", "retain", "holdout"];
/// Keys of `[[forget]]` that only specs have.
const OF_FORGET: [&str; 7] = [
    "passages",
    "retain",
    "holdout",
    "questions",
    "retain_questions",
    "holdout_questions",
    "reference",
];

/// Whether a TOML file is a spec and no prompt file; both may have `[[forget]]`.
fn is_spec(text: &str) -> bool {
    let Ok(document) = DeTable::parse(text) else { return false };
    let document = document.get_ref();
    let has = |keys: &[&str]| keys.iter().any(|key| document.contains_key(*key));
    let forget = || document.get("forget")?.get_ref().as_array();
    let of_spec = |table: &DeTable<'_>| OF_FORGET.iter().any(|key| table.contains_key(*key));
    has(&OF_SPECS)
        || !has(&OF_PROMPTS)
            && forget().is_some_and(|tables| {
                tables.iter().any(|it| it.get_ref().as_table().is_some_and(of_spec))
            })
}

/// Reads what a spec measures, or can be probed alone: a prompt file, or a record collection.
pub fn read_prompts(path: &Path) -> Result<PromptFile, SpecError> {
    prompts_of(read_text(path)?)
}

/// Reads prompts or records from their text.
pub fn parse_prompts(name: &str, text: &str) -> Result<PromptFile, SpecError> {
    prompts_of(SourceText::new(name, text))
}

fn prompts_of(source: SourceText) -> Result<PromptFile, SpecError> {
    if let Some(records) = records_of(&source, BadRecords::Refuse)? {
        return Ok(PromptFile::Records(records));
    }
    let prompts = checked(&source, PromptSet::read)?;
    Ok(PromptFile::Prompts(Box::new(prompts)))
}

fn spec_of(source: SourceText, folder: &Path, files: FileCheck) -> Result<EditSpec, SpecError> {
    checked(&source, |root| edit_spec(root, &source, folder, files))
}

fn edit_spec(
    mut root: Fields<'_>,
    source: &SourceText,
    folder: &Path,
    files: FileCheck,
) -> EditSpec {
    let model = root.text("model").map(|text| model_of(text, folder, root.problems()));
    let form = Form::read(&mut root);
    let rank_one = root.table("rank_one");
    let rank_one = rank_one.map(|fields| settings_of(fields, folder, files));
    let (inserts, erases) = (root.tables("insert"), root.tables("erase"));
    let mut written = inserts.len() + erases.len();
    let inserts: Vec<_> = inserts.into_iter().filter_map(Insert::read).collect();
    let erases: Vec<_> = erases.into_iter().filter_map(Erase::read).collect();
    let gradient = root.table("gradient").map(|fields| settings_of(fields, folder, files));
    let mut passages = Vec::new();
    for (key, verb) in [("learn", PassageVerb::Learn), ("forget", PassageVerb::Forget)] {
        for fields in root.tables(key) {
            written += 1;
            passages.extend(PassageOperation::read(fields, verb, folder, files));
        }
    }
    let verdict = root.table("verdict").map(|fields| settings_of(fields, folder, files));
    let probe = root.table("probe").and_then(|fields| probe_of(fields, folder, files));
    let problems = root.finish();
    if written == 0 && problems.is_empty() {
        problems.push(
            Problem::new("the spec has no operation")
                .help("add an [[insert]], an [[erase]], a [[learn]] or a [[forget]]"),
        );
    }
    check_facts(&inserts, &erases, problems);
    EditSpec {
        source: source.clone(),
        model,
        form,
        rank_one: rank_one.unwrap_or_default(),
        inserts,
        erases,
        gradient: gradient.unwrap_or_default(),
        passages,
        verdict: verdict.unwrap_or_default(),
        probe,
    }
}

fn model_of(text: Text, folder: &Path, problems: &Problems) -> String {
    if text.value.trim().is_empty() {
        problems.push(Problem::new("`model` is empty").label(&text.span, "no text here"));
    }
    match text.value.starts_with('.') {
        true => folder.join(&text.value).to_string_lossy().into_owned(),
        false => text.value,
    }
}

fn probe_of(mut fields: Fields<'_>, folder: &Path, files: FileCheck) -> Option<PathBuf> {
    let prompts = fields.required_text("prompts", "\"../prompts/eiffel.toml\"");
    let problems = fields.finish();
    prompts.map(|text| files.locate(&text, folder, problems))
}

/// Parses TOML and hands it to `read`; an error holds all problems that `read` reported.
fn checked<T>(source: &SourceText, read: impl FnOnce(Fields<'_>) -> T) -> Result<T, SpecError> {
    let document = DeTable::parse(source.text()).map_err(|error| syntax_error(source, &error))?;
    let problems = Problems::default();
    let value = read(Fields::root(&document, &problems));
    match problems.is_empty() {
        true => Ok(value),
        false => Err(SpecError::of(source, problems.into_vec())),
    }
}

fn syntax_error(source: &SourceText, error: &toml::de::Error) -> SpecError {
    let mut problem = Problem::new(format!("not valid TOML: {}", error.message()));
    if let Some(span) = error.span() {
        problem = problem.label(&span, "here");
    }
    SpecError::of(source, vec![problem])
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
