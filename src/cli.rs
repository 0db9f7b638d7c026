//! The command line: arguments, terminal, and one file per verb.

mod args;
mod ask;
mod atlas;
mod cache;
mod compare;
mod completions;
mod doctor;
mod edit;
mod exit;
mod export;
mod failure;
mod import;
mod input;
mod inspect;
mod internal;
mod locate;
mod man;
mod new;
mod outputs;
mod patch;
mod plan;
mod probe;
mod record;
mod redaction;
mod reports;
mod require;
mod resolve;
mod schema;
mod session;
mod stats;
mod tofu;
mod ui;
mod verify;

use clap::Parser;

use args::{Arguments, Command};
use ui::Ui;

/// Runs the command that the process arguments name.
pub fn main() -> std::process::ExitCode {
    rest_candle_threads();
    internal::quieten();
    let arguments = Arguments::parse();
    let ui = Ui::new(&arguments.global);
    let outcome = internal::caught(|| in_pool(&arguments, &ui));
    exit_code(outcome, &ui)
}

/// The code of a run that ended, or that panicked with a line to report.
fn exit_code(outcome: Result<anyhow::Result<()>, String>, ui: &Ui) -> std::process::ExitCode {
    ui.close();
    match outcome {
        Ok(Ok(())) => std::process::ExitCode::SUCCESS,
        Ok(Err(error)) => failure::report(&error, ui),
        Err(line) => {
            ui.say(&line);
            exit::INTERNAL.into()
        }
    }
}

/// Lets candle's own worker threads sleep between operations.
///
/// They spin by default, on the very cores that the matrix products run on: a fifth of an edit.
fn rest_candle_threads() {
    const SPIN: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(SPIN).is_none() {
        // SAFETY: this is the first thing that the process does; no other thread exists yet.
        unsafe { std::env::set_var(SPIN, "0") };
    }
}

/// Runs the command on a thread of the pool, so that no operation has to be handed over to it.
fn in_pool(arguments: &Arguments, ui: &Ui) -> anyhow::Result<()> {
    let threads = arguments.global.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| run(arguments, ui))
}

fn run(arguments: &Arguments, ui: &Ui) -> anyhow::Result<()> {
    let global = &arguments.global;
    match &arguments.command {
        Command::New(args) => new::run(args, ui),
        Command::Edit(args) => edit::run(args, global, ui),
        Command::Plan(args) => plan::run(args, global, ui),
        Command::Locate(args) => locate::run(args, global, ui),
        Command::Compare(args) => compare::run(args, global, ui),
        Command::Probe(args) => probe::run(args, global, ui),
        Command::Verify(args) => verify::run(args, global, ui),
        Command::VerifyRecord(args) => record::check(args, ui),
        Command::Ask(args) => ask::run(args, global, ui),
        Command::Export(args) => export::run(args, global, ui),
        Command::Inspect(args) => inspect::run(args, global, ui),
        Command::Patch(args) => patch::run(args, global, ui),
        Command::Cache(args) => cache::run(args, ui),
        Command::Stats(args) => stats::run(args, global, ui),
        Command::Import(args) => import::run(args, ui),
        Command::Atlas(args) => atlas::run(args, global, ui),
        Command::Doctor(args) => doctor::run(args, global, ui),
        Command::Completions(args) => completions::run(args, ui),
        Command::Schema => schema::run(ui),
        Command::Man(args) => man::run(args, ui),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_exits_with_70_as_the_help_says() {
        let arguments = Arguments::parse_from(["rescribe", "completions", "bash"]);
        let ui = Ui::new(&arguments.global);
        let code = |outcome| exit_code(outcome, &ui);
        let panicked = code(Err("rescribe stopped at an internal error".into()));
        assert_eq!(panicked, std::process::ExitCode::from(70));
        assert_eq!(code(Ok(Ok(()))), std::process::ExitCode::SUCCESS);
        let missed = exit::Missed("efficacy".into());
        assert_eq!(code(Ok(Err(missed.into()))), std::process::ExitCode::from(1));
    }
}
