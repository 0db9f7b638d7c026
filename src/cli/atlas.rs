//! `rescribe atlas`: trains the model of the built-in world, and measures what models know of it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{
    AtlasArgs, AtlasDataArgs, AtlasMeasureArgs, AtlasTrainArgs, AtlasVerb, AtlasZooArgs, Global,
};
use super::exit::{Missed, Usage};
use super::outputs::overwrite;
use super::session::Session;
use super::ui::Ui;
use super::{ranks, verify};
use rescribe::atlas::{self, DATA_FILE, Training, TrainingRecipe, WORLD_SEED, Without, World};
use rescribe::checkpoint::EXPORT;
use rescribe::files::{FileError, Overwrite, check_target, read_regular, write_atomically};
use rescribe::gradient::{Checkpointing, SAVED_TRAINING};
use rescribe::model::TRAINING;
use rescribe::progress::counted;
use rescribe::ranks::Ranks;
use rescribe::report::{KnowledgeReport, MeasuredModel, Report, markdown, zoo_report};
use rescribe::run::Tools;

pub fn run(args: &AtlasArgs, global: &Global, (ranks, ui): (&Ranks, &Ui)) -> anyhow::Result<()> {
    match &args.verb {
        AtlasVerb::Train(args) => train(args, ui),
        AtlasVerb::Measure(args) => measure(args, global, ui),
        AtlasVerb::Data(args) => data(args, ui),
        AtlasVerb::Zoo(args) => zoo(args, global, (ranks, ui)),
    }
}

/// The people whom `--without` leaves out.
fn without(world: &World, text: Option<&str>) -> anyhow::Result<Without> {
    let Some(text) = text else { return Ok(Without::Nothing) };
    Without::parse(text, world).map_err(|error| Usage(format!("--without: {error}")).into())
}

/// A recipe has some twenty numbers.
const LARGEST_RECIPE: u64 = 1 << 20;

fn recipe(file: &Path) -> anyhow::Result<TrainingRecipe> {
    let text = read_regular(file, LARGEST_RECIPE).map_err(FileError::reading(file))?;
    let wrong = |error| Usage(format!("--recipe {}: {error}", file.display())).into();
    TrainingRecipe::read(&String::from_utf8_lossy(&text)).map_err(wrong)
}

fn train(args: &AtlasTrainArgs, ui: &Ui) -> anyhow::Result<()> {
    let world = World::generate(WORLD_SEED);
    let without = without(&world, args.without.as_deref())?;
    let recipe = args.recipe.as_deref().map(recipe).transpose()?.unwrap_or_default();
    let checkpoint = args
        .checkpoint
        .as_ref()
        .map(|file| Checkpointing { file: file.clone(), every: args.checkpoint_every as u64 });
    let training = Training {
        seed: args.seed,
        without: &without,
        recipe: &recipe,
        checkpoint: checkpoint.as_ref(),
    };
    let mut uses: Vec<&Path> = args.recipe.iter().map(PathBuf::as_path).collect();
    if let Some(file) = &args.checkpoint {
        check_target(file, Overwrite::Replace, &SAVED_TRAINING, &uses)?;
        uses.push(file);
    }
    check_target(&args.out, overwrite(args.force), &EXPORT, &uses)?;
    let started = Instant::now();
    let trained = training.run(&args.out, overwrite(args.force), ui)?;
    ui.close();
    let seconds = started.elapsed().as_secs_f64();
    let data = serde_json::json!({
        "out": args.out,
        "seed": args.seed,
        "without": atlas::describe(&without),
        "recipe": recipe,
        "trained": trained,
        "seconds": seconds,
    });
    let out = args.out.display();
    let sentence = format!(
        "{out} holds a model of {:.2} M parameters, trained in {} on {:.2} M tokens in {:.0} \
         s; its loss is {:.3} nats a token.",
        trained.parameters as f64 / 1e6,
        counted(trained.steps as usize, "step"),
        trained.tokens as f64 / 1e6,
        seconds,
        trained.loss
    );
    let mut report = Report::new("atlas train", &out.to_string(), &data)?.section(sentence);
    report.next = Some(format!("rescribe atlas measure {out}"));
    ui.show(&report)
}

fn measure(args: &AtlasMeasureArgs, global: &Global, ui: &Ui) -> anyhow::Result<()> {
    let world = World::generate(WORLD_SEED);
    let names: Vec<Option<&str>> = match args.models.is_empty() {
        true => vec![None],
        false => args.models.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut models = Vec::new();
    for name in names {
        let session = Session::open(name, global, ui)?;
        let knowledge = atlas::knowledge(&session.model, &world, ui)?;
        ui.close();
        let notes = std::fs::read(session.model.folder.join(TRAINING)).ok();
        let notes: Option<serde_json::Value> =
            notes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let note = |key: &str| notes.as_ref().map(|notes| notes[key].clone());
        models.push(MeasuredModel {
            model: session.name,
            without: note("without").and_then(|it| it.as_str().map(str::to_owned)),
            seed: note("seed").and_then(|it| it.as_u64()),
            knowledge,
        });
    }
    let report = KnowledgeReport::new(models).report()?;
    if args.markdown && !ui.is_json() {
        ui.print(&markdown::render(&report));
        return Ok(());
    }
    ui.show(&report)
}

/// Writes records, passages and held-out English, the input of the other commands.
fn data(args: &AtlasDataArgs, ui: &Ui) -> anyhow::Result<()> {
    let world = World::generate(WORLD_SEED);
    let files = atlas::data(&world, args.records, args.seed);
    std::fs::create_dir_all(&args.out).map_err(FileError::writing(&args.out))?;
    for name in files.keys() {
        check_target(&args.out.join(name), overwrite(args.force), &DATA_FILE, &[])?;
    }
    for (name, text) in &files {
        write_atomically(&args.out.join(name), overwrite(args.force), |out| {
            out.write_all(text.as_bytes())
        })?;
    }
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let data = serde_json::json!({ "out": args.out, "files": names });
    let sentence = format!("{} holds {}.", args.out.display(), names.join(", "));
    let mut report = Report::new("atlas data", "atlas", &data)?.section(sentence);
    report.next = Some(format!("rescribe edit {}", args.out.join("records.json").display()));
    ui.show(&report)
}

/// Makes and audits the control zoo; a control that the audit gets wrong is a difference.
fn zoo(args: &AtlasZooArgs, global: &Global, (ranks, ui): (&Ranks, &Ui)) -> anyhow::Result<()> {
    let limits = verify::limits(args.thresholds.as_deref())?;
    let session = ranks.first_on_rank_0(ui, || Session::open(None, global, ui))?;
    let job = atlas::zoo_identity(&session.model, &args.seeds, &limits)?;
    ranks::keep(&args.journal, ranks, job, "atlas zoo")?;
    let tools = Tools { ranks, ..Tools::new(&session.cache, ui) };
    let zoo = atlas::zoo(&session.model, &args.seeds, &limits, &tools)?;
    if !ranks.is_first() {
        return Ok(());
    }
    ui.close();
    let report = ranks::noted(zoo_report(&zoo)?, ranks);
    match args.markdown && !ui.is_json() {
        true => ui.print(&markdown::render(&report)),
        false => ui.show(&report)?,
    }
    match zoo.false_passes() + zoo.false_alarms() {
        0 => Ok(()),
        wrong => {
            Err(Missed(format!("the audit is wrong about {}", counted(wrong, "model"))).into())
        }
    }
}
