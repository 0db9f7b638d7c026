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
mod ranks;
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
use rescribe::ranks::Ranks;
use ui::Ui;

/// Runs the command that the process arguments name.
pub fn main() -> std::process::ExitCode {
    rest_candle_threads();
    internal::quieten();
    let ranks = ranks::connect();
    let is_first = ranks.as_ref().map_or_else(|_| ranks::is_first(), Ranks::is_first);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if is_first {
                // A terminal that is gone needs no words.
                error.print().ok();
            }
            ranks.iter().for_each(Ranks::close);
            return (error.exit_code() as u8).into();
        }
    };
    let ui = Ui::new(&arguments.global, is_first);
    let ranks = match ranks {
        Ok(ranks) => ranks,
        Err(error) => return failure::report(&error.into(), &ui).into(),
    };
    let outcome = internal::caught(|| in_pool(&arguments, &ranks, &ui));
    let code =
        if is_first { first_code(outcome, &ranks, &ui) } else { other_code(outcome, &ranks, &ui) };
    ranks.close();
    code.into()
}

/// The code of the rank that talks to the user, once all others have ended.
fn first_code(outcome: Result<anyhow::Result<()>, String>, ranks: &Ranks, ui: &Ui) -> u8 {
    let is_done = match &outcome {
        Ok(Ok(())) => true,
        Ok(Err(error)) => failure::is_missed(error),
        Err(_) => false,
    };
    let code = exit_code(outcome, ui);
    let ended = if is_done { ranks.finish(ui) } else { Ok(()) };
    let code = ended.map_or_else(|error| failure::report(&error.into(), ui), |()| code);
    if code != 0 && !(is_done && code == exit::MISSED) {
        ranks::say_kept(ranks, ui);
        ranks.abort(code);
    }
    code
}

/// The code of any other rank: that of the job is the first one's.
fn other_code(outcome: Result<anyhow::Result<()>, String>, ranks: &Ranks, ui: &Ui) -> u8 {
    let failed = match outcome {
        Ok(Ok(())) => ranks.finish(ui).err().map(|error| error.to_string()),
        Ok(Err(error)) if failure::is_ended(&error) => None,
        Ok(Err(error)) => {
            if failure::is_interrupt(&error) {
                // Where all ranks were asked to stop, the first one says so.
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
            Some(failure::in_one_line(&error))
        }
        Err(line) => Some(line),
    };
    failed.iter().for_each(|reason| ranks.fail(reason));
    0
}

/// The code of a run that ended, or that panicked with a line to report.
fn exit_code(outcome: Result<anyhow::Result<()>, String>, ui: &Ui) -> u8 {
    ui.close();
    match outcome {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => failure::report(&error, ui),
        Err(line) => {
            ui.say(&line);
            exit::INTERNAL
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
fn in_pool(arguments: &Arguments, ranks: &Ranks, ui: &Ui) -> anyhow::Result<()> {
    let threads = arguments.global.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| run(arguments, ranks, ui))
}

fn run(arguments: &Arguments, ranks: &Ranks, ui: &Ui) -> anyhow::Result<()> {
    let global = &arguments.global;
    ranks::check(&arguments.command, ranks)?;
    match &arguments.command {
        Command::New(args) => new::run(args, ui),
        Command::Edit(args) => edit::run(args, global, (ranks, ui)),
        Command::Plan(args) => plan::run(args, global, ui),
        Command::Locate(args) => locate::run(args, global, ui),
        Command::Compare(args) => compare::run(args, global, (ranks, ui)),
        Command::Probe(args) => probe::run(args, global, (ranks, ui)),
        Command::Verify(args) => verify::run(args, global, ui),
        Command::VerifyRecord(args) => record::check(args, ui),
        Command::Ask(args) => ask::run(args, global, ui),
        Command::Export(args) => export::run(args, global, ui),
        Command::Inspect(args) => inspect::run(args, global, ui),
        Command::Patch(args) => patch::run(args, global, ui),
        Command::Cache(args) => cache::run(args, ui),
        Command::Stats(args) => stats::run(args, global, (ranks, ui)),
        Command::Import(args) => import::run(args, ui),
        Command::Atlas(args) => atlas::run(args, global, (ranks, ui)),
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
        let ui = Ui::new(&arguments.global, true);
        let code = |outcome| exit_code(outcome, &ui);
        let panicked = code(Err("rescribe stopped at an internal error".into()));
        assert_eq!(panicked, 70);
        assert_eq!(code(Ok(Ok(()))), 0);
        let missed = exit::Missed("efficacy".into());
        assert_eq!(code(Ok(Err(missed.into()))), 1);
    }
}
