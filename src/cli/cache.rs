//! `rescribe cache`: what the cache folder holds, and removing it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::{CacheArgs, CacheVerb};
use super::ui::Ui;
use rescribe::report::{Column, Report, Row, Table, Unit};
use rescribe::source::SourceOptions;

/// The kinds of entries by the beginning of their names, which a name in the cache must have to be
/// touched.
const KINDS: [(&str, &str); 10] = [
    ("atlas", "built-in model"),
    ("factor-", "factors of second moments"),
    ("general-", "samples to measure damage on"),
    ("gguf", "imported GGUF files"),
    ("references", "references of the built-in model"),
    ("samples-", "samples for second moments"),
    ("second-moment-", "second moments"),
    ("sweep-", "layers that were tried"),
    ("values", "optimised values"),
    ("zoo-", "runs of the zoo"),
];

pub fn run(args: &CacheArgs, ui: &Ui) -> anyhow::Result<()> {
    let cache = SourceOptions::from_variables(&|name| std::env::var_os(name)).cache;
    let found = entries(&cache)?;
    let verb = match args.verb {
        CacheVerb::List => "cache list",
        CacheVerb::Clean => "cache clean",
    };
    let mut table = Table::of_items("", [Column::new("entries"), Column::of("MB", Unit::Plain(1))]);
    for (_, kind) in KINDS {
        let of_kind: Vec<&Entry> = found.iter().filter(|entry| entry.kind == kind).collect();
        let bytes: u64 = of_kind.iter().map(|entry| entry.bytes).sum();
        if !of_kind.is_empty() {
            table.push(Row::new(kind).cell(of_kind.len()).cell(bytes as f64 / 1e6));
        }
    }
    let bytes: u64 = found.iter().map(|entry| entry.bytes).sum();
    let data = serde_json::json!({ "cache": cache, "entries": found.len(), "bytes": bytes });
    let count =
        if found.len() == 1 { "1 entry".into() } else { format!("{} entries", found.len()) };
    let all = format!("{count}, {:.1} MB", bytes as f64 / 1e6);
    let sentence = match args.verb {
        CacheVerb::List => format!("{} holds {all}.", cache.display()),
        CacheVerb::Clean => {
            remove(&found)?;
            format!("{all} removed from {}; they are computed again where needed.", cache.display())
        }
    };
    ui.show(&Report::new(verb, "", &data)?.section(table).section(sentence))
}

/// Bytes that rescribe keeps in the cache.
pub fn bytes_held(cache: &Path) -> anyhow::Result<u64> {
    Ok(entries(cache)?.iter().map(|entry| entry.bytes).sum())
}

/// An entry of the cache: a file, or a folder whose files belong together.
struct Entry {
    path: PathBuf,
    kind: &'static str,
    bytes: u64,
}

/// What rescribe keeps in the cache, leftovers of killed runs included; other files are left alone.
fn entries(cache: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in within(cache)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.trim_start_matches('.');
        let is_folder = path.is_dir();
        let is_of = |start: &str| match start.ends_with('-') {
            true => name.starts_with(start) && !is_folder,
            false => name == start && is_folder,
        };
        let Some((_, kind)) = KINDS.into_iter().find(|(start, _)| is_of(start)) else { continue };
        let paths = if is_folder { within(&path)? } else { vec![path] };
        for path in paths {
            let bytes = size(&path)?;
            entries.push(Entry { path, kind, bytes });
        }
    }
    Ok(entries)
}

/// The entries of a folder, sorted; none where it does not exist.
fn within(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let fail = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(fail)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().with_context(fail)?;
    paths.sort();
    Ok(paths)
}

fn size(path: &Path) -> anyhow::Result<u64> {
    let found =
        path.symlink_metadata().with_context(|| format!("cannot read {}", path.display()))?;
    match found.is_dir() {
        true => within(path)?.iter().map(|path| size(path)).sum(),
        false => Ok(found.len()),
    }
}

fn remove(entries: &[Entry]) -> anyhow::Result<()> {
    for Entry { path, .. } in entries {
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
