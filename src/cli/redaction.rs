//! What a deletion leaves behind: results without the names, and the files that still have them.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::args::EditArgs;
use super::session::Session;
use super::ui::{NOTE, Ui, paragraph};
use rescribe::checkpoint::{CARD, RECIPES};
use rescribe::files::open_regular;
use rescribe::patch::Redactor;
use rescribe::report::Report;
use rescribe::run::Job;
use rescribe::spec::{EditInput, PassageSource, PassageVerb};

/// Files that are longer are not searched; they are named as if they held a removed text.
const LONGEST: u64 = 8 << 20;

/// Shows a report; as JSON, which is often kept and handed on, without the removed texts.
pub fn show(report: &Report, redactor: Option<&Redactor>, ui: &Ui) -> anyhow::Result<()> {
    let Some(redactor) = redactor.filter(|_| ui.is_json()) else { return ui.show(report) };
    let mut value = serde_json::to_value(report)?;
    redactor.report(&mut value);
    ui.print_json(&value)
}

/// The files that a run read or wrote and that may name what it removed.
pub fn candidates(
    args: &EditArgs,
    input: &EditInput,
    job: &Job,
    patch: Option<&Path>,
) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = args.input.spec.iter().cloned().collect();
    files.extend(args.from.iter().cloned());
    if let EditInput::Spec(spec) = input {
        files.extend(spec.probe.clone());
    }
    let forgotten = job.passages.iter().filter(|found| found.verb == PassageVerb::Forget);
    for operation in forgotten {
        let tells = |role: &str| matches!(role, "passages" | "questions");
        for (_, source) in operation.sources().filter(|(role, _)| tells(role)) {
            if let PassageSource::File(file) = source {
                files.push(file.clone());
            }
        }
    }
    files.extend(patch.filter(|_| args.keep_spec).map(Path::to_owned));
    files.extend(args.report.report.iter().filter(|_| args.keep_spec).cloned());
    files.extend(args.out.iter().flat_map(|out| [CARD, RECIPES].map(|name| out.join(name))));
    files
}

/// Says which files still name what was removed.
pub fn list(
    redactor: &Redactor,
    files: &[PathBuf],
    (saved, journal): (Option<&Path>, Option<&Path>),
    session: &Session,
    ui: &Ui,
) {
    let named = files.iter().filter(|file| names(redactor, file));
    let mut named: Vec<String> = named.map(|file| file.display().to_string()).collect();
    named.dedup();
    let mut text = String::new();
    if !named.is_empty() {
        text += &format!("{}; ", named.join(", "));
    }
    let cache = session.cache.display();
    if let Some(saved) = saved {
        text += &format!("the training in {}, as far as it had come; ", saved.display());
    }
    if let Some(journal) = journal {
        text += &format!("the finished work in {}; ", journal.display());
    }
    text += &format!("the base, and its samples in the cache {cache}");
    ui.note("still named", &paragraph(NOTE, NOTE, &text));
}

/// Whether a file names what was removed, as far as it can be read.
fn names(redactor: &Redactor, file: &Path) -> bool {
    let mut bytes = Vec::new();
    let is_long = file.metadata().is_ok_and(|found| found.len() > LONGEST);
    let read = open_regular(file).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    is_long || read.is_ok() && redactor.is_named_in(&String::from_utf8_lossy(&bytes))
}
