//! `rescribe inspect`: describes a patch, a model folder, a GGUF file or a report, and how to
//! reproduce it.

mod gguf;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::args::{Global, InspectArgs};
use super::exit::Missed;
use super::reports;
use super::ui::Ui;
use rescribe::checkpoint::{RECIPES, Record};
use rescribe::files::read_regular;
use rescribe::model::config::without_keys;
use rescribe::model::family::Family;
use rescribe::model::{Tokenizer, Weights};
use rescribe::patch::Composed;
use rescribe::progress::counted;
use rescribe::report::{Block, Column, Report, Row, Section, Table, Unit, growth, growth_table};
use rescribe::spec::plain;

pub fn run(args: &InspectArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let ignored_keys = &global.ignore_config_key;
    match args.file.as_path() {
        file if file.is_dir() => folder(file, ignored_keys, ui),
        file if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf")) => {
            gguf::run(file, ui)
        }
        file if reports::is_named_page(file) => ui.show(&reports::read(file)?),
        file => patch(file, ui),
    }
}

fn patch(file: &Path, ui: &Ui) -> anyhow::Result<()> {
    let composed = Composed::read(file)?;
    let grown = growth(&composed)?;
    let mut data = serde_json::json!({ "patch": composed.sha256(), "changes": grown });
    let mut parts = composed.parts();
    match (parts.len(), parts.next()) {
        (1, Some((_, only))) => data["recipe"] = serde_json::to_value(&only.recipe)?,
        _ => {
            let parts = composed.parts().map(
                |(digest, patch)| serde_json::json!({ "patch": digest, "recipe": patch.recipe }),
            );
            data["parts"] = parts.collect();
        }
    }
    let digest = format!("patch  {}\n", composed.sha256());
    let mut report = Report::new("inspect", &file.display().to_string(), &data)?
        .section(Block::Verbatim(digest))
        .section(growth_table(&grown));
    for (digest, part) in composed.parts() {
        let recipe = &part.recipe;
        let mut made = String::new();
        if composed.parts().len() > 1 {
            made.push_str(&format!(" part  {digest}\n"));
        }
        let (version, model) = (plain(&recipe.version), plain(&recipe.model));
        made.push_str(&format!(" made  by rescribe {version} for {model}\n"));
        for (name, hash) in &recipe.base.tensors {
            made.push_str(&format!(" base  {}\n       {hash}\n", plain(name)));
        }
        let mut section = Section::from(Block::Verbatim(made));
        for edit in recipe.edits() {
            section = section.block(spec(edit.spec));
        }
        report = report.section(section);
    }
    let is_redacted =
        composed.parts().any(|(_, part)| part.recipe.edits().iter().any(|it| it.is_redacted));
    ui.show(&report.section(match is_redacted {
        true => "What was removed is not named: the spec as it was written stays with its author.",
        false => "The spec is as resolved: with the same model and version it gives this patch.",
    }
    .to_owned()))
}

/// A spec, verbatim and indented.
fn spec(text: &str) -> Block {
    Block::Verbatim(plain(text).trim().lines().map(|line| format!("  {line}\n")).collect())
}

fn folder(folder: &Path, ignored_keys: &[String], ui: &Ui) -> anyhow::Result<()> {
    let record = Record::read(folder, ui)?;
    // An export without a config is an adapter, or what another runtime reads.
    let is_model = record.is_none() || folder.join("config.json").exists();
    let model = is_model.then(|| described(folder, ignored_keys)).transpose()?;
    let (mut data, text) = model.unwrap_or_default();
    data["recipes"] = record.as_ref().map_or(Value::Null, |record| record.recipes.clone());
    data["record"] = record.as_ref().map_or(Value::Null, |record| {
        serde_json::json!({
            "is_whole": record.is_whole,
            "changed": record.changed,
            "added": record.added,
        })
    });
    let report = Report::new("inspect", &folder.display().to_string(), &data)?;
    let report = if is_model { report.section(Block::Verbatim(text)) } else { report };
    let Some(record) = &record else {
        return ui.show(&report.section(Block::Verbatim("edits  none by rescribe\n".into())));
    };
    let found = compared(record, RECIPES);
    ui.show(&history(&record.recipes, report).section(match &found {
        Ok(sentence) | Err(sentence) => sentence.clone(),
    }))?;
    found.map(drop).map_err(|difference| Missed(difference).into())
}

/// A model folder, for programs and for people.
fn described(folder: &Path, ignored_keys: &[String]) -> anyhow::Result<(Value, String)> {
    let file = folder.join("config.json");
    let fail = |error: &dyn std::fmt::Display| {
        anyhow::anyhow!("{} cannot be used: {error}", file.display())
    };
    let bytes = read_regular(&file, LARGEST_CONFIG).map_err(|error| fail(&error))?;
    let config = serde_json::from_slice(&bytes).map_err(|error| fail(&error))?;
    let (_, decoder) = Family::recognise(&without_keys(config, ignored_keys))
        .with_context(|| format!("{} cannot be used", file.display()))?;
    let weights = Weights::open(folder)?;
    let tokenizer = Tokenizer::open(folder)?;
    let mut parameters = 0;
    for name in weights.names() {
        parameters += weights.shape(name)?.iter().product::<usize>();
    }
    let data = serde_json::json!({
        "config": decoder,
        "parameters": parameters,
        "tensors": weights.names().count(),
        "tokenizer": tokenizer.hash().to_string(),
    });
    let text = format!(
        "model  {} · {} · hidden {} · keys {} · vocabulary {}\n \
         size  {:.1} M parameters in {}, {}\n",
        decoder.model_type,
        counted(decoder.layers, "layer"),
        decoder.hidden,
        decoder.intermediate,
        decoder.vocabulary,
        parameters as f64 / 1e6,
        counted(weights.names().count(), "tensor"),
        counted(weights.shards().count(), "file")
    );
    Ok((data, text))
}

/// The largest config that is read.
const LARGEST_CONFIG: u64 = 16 << 20;

/// How the files of an export compare with its record, which is called `name`; an error where they
/// differ.
fn compared(record: &Record, name: &str) -> Result<String, String> {
    let names = |files: &[PathBuf]| {
        let names: Vec<String> = files.iter().map(|it| plain(&it.to_string_lossy())).collect();
        names.join(", ")
    };
    if !record.is_whole {
        return Err(format!(
            "{name} is not as it was written: what it says of this export is not to be trusted"
        ));
    }
    if !record.changed.is_empty() {
        return Err(format!("not as they were exported: {}", names(&record.changed)));
    }
    let files = counted(record.compared, "file");
    Ok(match record.added.is_empty() {
        true => format!("{files} compared with {name}: all are as they were exported."),
        false => format!(
            "{files} compared with {name}: all are as they were exported; added since: {}.",
            names(&record.added)
        ),
    })
}

/// The patches in an exported folder, those of its base after its own.
fn history(recipes: &Value, mut report: Report) -> Report {
    let list = |key: &str| recipes[key].as_array().into_iter().flatten();
    let text = |value: &Value| plain(value.as_str().unwrap_or("?"));
    let mut table = Table::of_items("tensor", [Column::of("|ΔW|/|W|", Unit::Percent)]);
    for edited in list("edited") {
        table.push(Row::new(text(&edited["name"])).cell(edited["relative_norm"].as_f64()));
    }
    report = report.section(table);
    for patch in list("patches") {
        let recipe = &patch["recipe"];
        let (version, model) = (text(&recipe["version"]), text(&recipe["model"]));
        let made = format!(
            "patch  {}\n made  by rescribe {version} for {model}, from the spec\n",
            text(&patch["sha256"])
        );
        let section = Section::from(Block::Verbatim(made));
        report = report.section(section.block(spec(&text(&recipe["spec"]))));
    }
    match recipes.get("earlier") {
        Some(earlier) => {
            let text = "The base of this export was itself an export:".to_owned();
            history(earlier, report.section(text))
        }
        None => report,
    }
}
