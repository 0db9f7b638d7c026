//! `rescribe inspect`: describes a patch or a model folder, and how to reproduce it.

use std::path::Path;

use serde_json::Value;

use super::args::InspectArgs;
use super::ui::Ui;
use rescribe::model::family::Family;
use rescribe::model::{Tokenizer, Weights};
use rescribe::patch::Composed;
use rescribe::progress::counted;
use rescribe::report::{Block, Column, Report, Row, Section, Table, Unit, growth, growth_table};

pub fn run(args: &InspectArgs, ui: &Ui) -> anyhow::Result<()> {
    if args.file.is_dir() { folder(&args.file, ui) } else { patch(&args.file, ui) }
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
        made.push_str(&format!(" made  by rescribe {} for {}\n", recipe.version, recipe.model));
        for (name, hash) in &recipe.base.tensors {
            made.push_str(&format!(" base  {name}\n       {hash}\n"));
        }
        report = report.section(Section::from(Block::Verbatim(made)).block(spec(&recipe.spec)));
    }
    report = report.section(
        "The spec is as resolved: with the same model and version it reproduces this patch."
            .to_owned(),
    );
    ui.show(&report)
}

/// A spec, verbatim and indented.
fn spec(text: &str) -> Block {
    Block::Verbatim(text.trim().lines().map(|line| format!("  {line}\n")).collect())
}

fn folder(folder: &Path, ui: &Ui) -> anyhow::Result<()> {
    let bytes = std::fs::read(folder.join("config.json"))
        .map_err(|error| anyhow::anyhow!("{}: config.json: {error}", folder.display()))?;
    let config = serde_json::from_slice(&bytes)
        .map_err(|error| anyhow::anyhow!("{}: config.json: {error}", folder.display()))?;
    let (_, decoder) = Family::recognise(&config)?;
    let weights = Weights::open(folder)?;
    let tokenizer = Tokenizer::open(folder)?;
    let mut parameters = 0;
    for name in weights.names() {
        parameters += weights.shape(name)?.iter().product::<usize>();
    }
    let recipes = std::fs::read_to_string(folder.join(rescribe::checkpoint::RECIPES)).ok();
    let recipes: Option<Value> = recipes.and_then(|text| serde_json::from_str(&text).ok());
    let data = serde_json::json!({
        "config": decoder,
        "parameters": parameters,
        "tensors": weights.names().count(),
        "tokenizer": tokenizer.hash().to_string(),
        "recipes": recipes,
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
    let report = Report::new("inspect", &folder.display().to_string(), &data)?;
    let report = report.section(Block::Verbatim(text));
    ui.show(&match &recipes {
        Some(recipes) => history(recipes, report),
        None => report.section(Block::Verbatim("edits  none by rescribe\n".into())),
    })
}

/// The patches in an exported folder, those of its base after its own.
fn history(recipes: &Value, mut report: Report) -> Report {
    let list = |key: &str| recipes[key].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
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
