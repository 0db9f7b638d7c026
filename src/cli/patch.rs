//! `rescribe patch`: lists, composes, redacts and takes apart patch files, without loading weights,
//! and makes them again, with all their facts or without some.

mod remake;
mod remove;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::{
    Global, PatchAddArgs, PatchArgs, PatchComposeArgs, PatchListArgs, PatchRedactArgs,
    PatchSubtractArgs, PatchVerb,
};
use super::exit::Usage;
use super::outputs;
use super::ui::Ui;
use rescribe::files::{Overwrite, Sha256};
use rescribe::model::Weights;
use rescribe::patch::Composed;
use rescribe::progress::Progress;
use rescribe::report::{PatchDescription, Report, describe_patches, short};
use rescribe::source::{SourceOptions, resolve};

/// The ending by which patches in a folder are recognised.
const ENDING: &str = ".patch.safetensors";

pub fn run(args: &PatchArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    match &args.verb {
        PatchVerb::List(args) => list(args, ui),
        PatchVerb::Compose(args) => compose(args, ui),
        PatchVerb::Add(args) => add(args, ui),
        PatchVerb::Redact(args) => redact(args, ui),
        PatchVerb::Remove(args) => remove::run(args, global, ui),
        PatchVerb::Subtract(args) => subtract(args, ui),
        PatchVerb::Verify(args) => verify::run(args, global, ui),
    }
}

fn read_all(files: &[PathBuf]) -> anyhow::Result<Vec<Composed>> {
    Ok(files.iter().map(|file| Composed::read(file)).collect::<Result<_, _>>()?)
}

fn compose(args: &PatchComposeArgs, ui: &Ui) -> anyhow::Result<()> {
    let parts: Vec<&Path> = args.patches.iter().map(PathBuf::as_path).collect();
    outputs::check_patch(&args.out, args.force, &parts)?;
    let whole = Composed::union(read_all(&args.patches)?)?;
    whole.write(&args.out, outputs::overwrite(args.force))?;
    written(&args.out, &whole, ui)
}

fn add(args: &PatchAddArgs, ui: &Ui) -> anyhow::Result<()> {
    let mut sets = vec![Composed::read(&args.file)?];
    sets.extend(read_all(&args.patches)?);
    let whole = Composed::union(sets)?;
    whole.write(&args.file, Overwrite::Replace)?;
    written(&args.file, &whole, ui)
}

fn redact(args: &PatchRedactArgs, ui: &Ui) -> anyhow::Result<()> {
    let whole = Composed::read(&args.file)?;
    if !whole.parts().any(|(_, part)| part.recipe.names_removed()) {
        let message = format!("{} names nothing that was removed", args.file.display());
        return ui.show(
            &Report::new("patch redact", "", &serde_json::json!({ "file": args.file }))?
                .section(message + "; it stays as it is."),
        );
    }
    let redacted = whole.redacted()?;
    redacted.write(&args.file, Overwrite::Replace)?;
    written(&args.file, &redacted, ui)
}

fn subtract(args: &PatchSubtractArgs, ui: &Ui) -> anyhow::Result<()> {
    outputs::check_patch(&args.out, args.force, &[&args.file])?;
    let whole = Composed::read(&args.file)?;
    let mut parts = Vec::new();
    for part in &args.parts {
        parts.extend(digests(part, &whole)?);
    }
    let rest = whole.without(&parts)?;
    rest.write(&args.out, outputs::overwrite(args.force))?;
    written(&args.out, &rest, ui)
}

/// The parts that a patch file holds, or the one part whose digest begins with the text.
fn digests(part: &str, whole: &Composed) -> anyhow::Result<Vec<Sha256>> {
    if Path::new(part).exists() {
        let found = Composed::read(Path::new(part))?;
        return Ok(found.parts().map(|(digest, _)| *digest).collect());
    }
    let begins = |digest: &&Sha256| digest.to_string().starts_with(part);
    let matching: Vec<Sha256> =
        whole.parts().map(|(digest, _)| digest).filter(begins).copied().collect();
    match matching.as_slice() {
        [only] => Ok(vec![*only]),
        [] => {
            Err(Usage(format!("{part} is neither a file nor the beginning of a part's digest"))
                .into())
        }
        several => {
            Err(Usage(format!("{part} is the beginning of {} digests", several.len())).into())
        }
    }
}

fn written(file: &Path, whole: &Composed, ui: &Ui) -> anyhow::Result<()> {
    let described = describe(whole)?;
    let data = serde_json::json!({
        "file": file,
        "patch": whole.sha256(),
        "parts": described,
    });
    let holds = match described.len() {
        1 => "one patch, its own file byte for byte".into(),
        n => format!("{n} patches; applying it applies all of them"),
    };
    let mut report = Report::new("patch", &models(&described), &data)?;
    report.sections = described.iter().map(|part| part.section(None)).collect();
    ui.show(&report.section(format!("{} holds {holds}.", file.display())))
}

/// The bases of patches, as named when they were made.
fn models(described: &[PatchDescription]) -> String {
    let mut models: Vec<&str> = described.iter().map(|part| part.model.as_str()).collect();
    models.dedup();
    models.join(", ")
}

fn describe(whole: &Composed) -> anyhow::Result<Vec<PatchDescription>> {
    Ok(describe_patches(whole)?)
}

fn list(args: &PatchListArgs, ui: &Ui) -> anyhow::Result<()> {
    let files = files(&args.paths)?;
    let base = args.model.model.as_deref().map(|name| Base::open(name, ui)).transpose()?;
    let (mut entries, mut sections, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Vec::new();
    for file in &files {
        let found = Composed::read(file)?;
        let described = describe(&found)?;
        let misfit = base.as_ref().map(|base| base.misfit(&found)).transpose()?;
        let title = format!("{}{}", file.display(), verdict(misfit.as_ref()));
        for (at, part) in described.iter().enumerate() {
            sections.push(part.listed((at == 0).then_some(title.as_str())));
        }
        entries.push(serde_json::json!({
            "file": file,
            "patch": found.sha256(),
            "parts": described,
            "applies": misfit.as_ref().map(Option::is_none),
            "why_not": misfit.flatten(),
        }));
        sets.push(found);
        all.extend(described);
    }
    let together = together(&files, sets);
    let data = serde_json::json!({
        "files": entries,
        "together": together.is_ok(),
        "why_not": together.as_ref().err(),
    });
    let sentence = match together {
        Ok(sentence) => sentence,
        Err(why) => format!("They do not go together: {why}."),
    };
    let mut report = Report::new("patch list", &models(&all), &data)?;
    report.sections = sections;
    ui.show(&report.section(sentence))
}

/// Patch files named one by one, and those of named folders, sorted.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .and_then(|entries| {
                entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>()
            })
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut found: Vec<PathBuf> = entries
            .into_iter()
            .filter(|entry| entry.to_string_lossy().ends_with(ENDING) && entry.is_file())
            .collect();
        found.sort();
        files.extend(found);
    }
    if files.is_empty() {
        return Err(Usage(format!("no file here ends in {ENDING}")).into());
    }
    Ok(files)
}

/// A description of the files as one patch, or why they cannot be combined.
fn together(files: &[PathBuf], sets: Vec<Composed>) -> Result<String, String> {
    let count = sets.len();
    let whole = Composed::union(sets).map_err(|error| named(&error.to_string(), files))?;
    Ok(match (count, whole.parts().len()) {
        (1, 1) => "One patch; leave it out to undo it.".into(),
        (1, n) => format!("One file with {n} patches; leave it out to undo them."),
        (_, n) => format!("{n} patches that go together, in any order; leave one out to undo it."),
    })
}

/// An error about digests, with the files that they belong to.
fn named(error: &str, files: &[PathBuf]) -> String {
    let mut text = error.to_owned();
    for file in files {
        let Ok(found) = Composed::read(file) else { continue };
        for (digest, _) in found.parts() {
            let name = format!("{} ({})", short(digest), file.display());
            text = text.replace(&digest.to_string(), &name);
        }
    }
    text
}

fn verdict(misfit: Option<&Option<String>>) -> String {
    match misfit {
        None => String::new(),
        Some(None) => " · applies".into(),
        Some(Some(why)) => format!(" · does not apply: {why}"),
    }
}

/// The base that patches are compared with: its files and hashes, without a decoder.
struct Base {
    weights: Weights,
    tokenizer: Sha256,
    config: Sha256,
}

impl Base {
    fn open(name: &str, ui: &Ui) -> anyhow::Result<Self> {
        let options = SourceOptions::from_variables(&|name| std::env::var_os(name));
        let folder = resolve(Some(name), &options, ui)?.path;
        ui.check()?;
        Ok(Self {
            weights: Weights::open(&folder)?,
            tokenizer: Sha256::of_file(&folder.join("tokenizer.json"))?,
            config: Sha256::of_file(&folder.join("config.json"))?,
        })
    }

    /// Why a patch does not apply; nothing where it does.
    fn misfit(&self, composed: &Composed) -> anyhow::Result<Option<String>> {
        for (_, patch) in composed.parts() {
            if let Some(differences) = patch.misfit(&self.weights, &self.tokenizer, &self.config)? {
                return Ok(Some(differences));
            }
        }
        Ok(None)
    }
}
