//! The command line: arguments, terminal, and one file per verb.

mod args;
mod ask;
mod completions;
mod edit;
mod export;
mod failure;
mod import;
mod inspect;
mod plan;
mod probe;
mod records;
mod require;
mod session;
mod stats;
mod ui;

use clap::Parser;

use args::{Arguments, Command};
use ui::Ui;

/// Runs the command that the process arguments name.
pub fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let ui = Ui::new(&arguments.global);
    let outcome = run(&arguments, &ui);
    ui.close();
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => failure::report(&error, &ui),
    }
}

fn run(arguments: &Arguments, ui: &Ui) -> anyhow::Result<()> {
    if let Some(threads) = arguments.global.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let global = &arguments.global;
    match &arguments.command {
        Command::Edit(args) => edit::run(args, global, ui),
        Command::Plan(args) => plan::run(args, global, ui),
        Command::Probe(args) => probe::run(args, global, ui),
        Command::Ask(args) => ask::run(args, global, ui),
        Command::Export(args) => export::run(args, global, ui),
        Command::Inspect(args) => inspect::run(args, ui),
        Command::Stats(args) => stats::run(args, global, ui),
        Command::Import(args) => import::run(args, ui),
        Command::Completions(args) => completions::run(args),
    }
}
