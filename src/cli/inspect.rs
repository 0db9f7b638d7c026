//! `rescribe inspect`: what a patch or a model folder holds, and how to reproduce it.

use std::path::Path;

use serde_json::Value;

use super::args::InspectArgs;
use super::ui::Ui;
use rescribe::model::family::Family;
use rescribe::model::{Tokenizer, Weights};
use rescribe::patch::Composed;
use rescribe::report::{growth, growth_lines};

pub fn run(args: &InspectArgs, ui: &Ui) -> anyhow::Result<()> {
    if args.file.is_dir() { folder(&args.file, ui) } else { patch(&args.file, ui) }
}

fn patch(file: &Path, ui: &Ui) -> anyhow::Result<()> {
    let composed = Composed::read(file)?;
    let grown = growth(&composed)?;
    if ui.is_json() {
        let mut value = serde_json::json!({
            "schema": 1,
            "patch": composed.sha256(),
            "changes": grown,
        });
        let mut parts = composed.parts();
        match (parts.len(), parts.next()) {
            (1, Some((_, only))) => value["recipe"] = serde_json::to_value(&only.recipe)?,
            _ => {
                let parts = composed.parts().map(|(digest, patch)| {
                    serde_json::json!({ "patch": digest, "recipe": patch.recipe })
                });
                value["parts"] = parts.collect();
            }
        }
        return ui.print_json(&value);
    }
    let mut out = format!("patch  {}\n", composed.sha256());
    out.push_str(&growth_lines(&grown));
    for (digest, part) in composed.parts() {
        let recipe = &part.recipe;
        if composed.parts().len() > 1 {
            out.push_str(&format!("\n part  {digest}\n"));
        }
        out.push_str(&format!(" made  by rescribe {} for {}\n", recipe.version, recipe.model));
        for (name, hash) in &recipe.base.tensors {
            out.push_str(&format!(" base  {name}\n       {hash}\n"));
        }
        out.push_str(
            "\nThe resolved spec; with the same model and version it gives this patch again:\n\n",
        );
        recipe.spec.lines().for_each(|line| out.push_str(&format!("  {line}\n")));
    }
    ui.print(&out);
    Ok(())
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
    if ui.is_json() {
        return ui.print_json(&serde_json::json!({
            "schema": 1,
            "config": decoder,
            "parameters": parameters,
            "tensors": weights.names().count(),
            "tokenizer": tokenizer.hash().to_string(),
            "recipes": recipes,
        }));
    }
    let mut out = format!(
        "model  {} · {} layers · hidden {} · keys {} · vocabulary {}\n",
        decoder.model_type,
        decoder.layers,
        decoder.hidden,
        decoder.intermediate,
        decoder.vocabulary
    );
    out.push_str(&format!(
        " size  {:.1} M parameters in {} tensors, {} file(s)\n",
        parameters as f64 / 1e6,
        weights.names().count(),
        weights.shards().count()
    ));
    match &recipes {
        Some(recipes) => history(recipes, &mut out),
        None => out.push_str("edits  none by rescribe\n"),
    }
    ui.print(&out);
    Ok(())
}

/// The patches in an exported folder, those of its base after its own.
fn history(recipes: &Value, out: &mut String) {
    let list = |key: &str| recipes[key].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    for edited in list("edited") {
        let percent = 100. * edited["relative_norm"].as_f64().unwrap_or(f64::NAN);
        let name = text(&edited["name"]);
        out.push_str(&format!("edited {name} · |Δ|/|W| {percent:.1} %\n"));
    }
    for patch in list("patches") {
        let recipe = &patch["recipe"];
        let (version, model) = (text(&recipe["version"]), text(&recipe["model"]));
        out.push_str(&format!("\npatch  {}\n", text(&patch["sha256"])));
        out.push_str(&format!(" made  by rescribe {version} for {model}, from the spec\n\n"));
        let spec = text(&recipe["spec"]);
        for line in spec.trim().lines() {
            out.push_str(format!("  {line}").trim_end());
            out.push('\n');
        }
    }
    if let Some(earlier) = recipes.get("earlier") {
        out.push_str("\nThe base of this export was itself an export:\n\n");
        history(earlier, out);
    }
}
