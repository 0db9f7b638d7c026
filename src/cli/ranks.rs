//! Runs of several processes: how they start, which verbs take them, where finished work is kept.

use super::args::{AtlasVerb, Command, JournalArg};
use super::exit::Usage;
use super::ui::{HINT, Ui};
use rescribe::files::Sha256;
use rescribe::progress::counted;
use rescribe::ranks::{Launch, RankError, Ranks, start};
use rescribe::report::Report;

/// Connects this process with the others that a launcher started.
pub fn connect() -> Result<Ranks, RankError> {
    start(launch())
}

/// What the environment says of this process.
pub fn launch() -> Option<Launch> {
    Launch::from_variables(&|name| std::env::var(name).ok())
}

/// Whether this process talks to the user, where it could not be connected with others.
pub fn is_first() -> bool {
    launch().is_none_or(|launch| launch.rank == 0)
}

/// Refuses verbs whose work is not shared out: every process would do all of it.
pub fn check(command: &Command, ranks: &Ranks) -> anyhow::Result<()> {
    let is_shared = match command {
        Command::Edit(_) | Command::Probe(_) | Command::Compare(_) | Command::Stats(_) => true,
        Command::Atlas(args) => matches!(args.verb, AtlasVerb::Zoo(_)),
        _ => false,
    };
    if is_shared || ranks.size() == 1 {
        return Ok(());
    }
    let message = format!(
        "edit, probe, compare, stats and atlas zoo share out their work; start this once, and not \
         {} times",
        ranks.size()
    );
    Err(Usage(message).into())
}

/// Keeps finished work where that is asked for; `job` names all that decides it, `about` says what
/// it is.
pub fn keep(args: &JournalArg, ranks: &Ranks, job: Sha256, about: &str) -> anyhow::Result<()> {
    let Some(file) = &args.journal else { return Ok(()) };
    Ok(ranks.keep(file, job, about)?)
}

/// Says what is kept of work that was not finished.
pub fn say_kept(ranks: &Ranks, ui: &Ui) {
    if let Some((finished @ 1.., file)) = ranks.kept() {
        let tasks = counted(finished, "finished task");
        ui.message(
            HINT,
            "Kept:",
            &format!("{tasks} in {file}; the same command goes on from there"),
        );
    }
}

/// Notes in a report what each rank did.
pub fn noted(mut report: Report, ranks: &Ranks) -> Report {
    report.ranks = ranks.done_by_rank();
    if report.ranks.is_empty() {
        return report;
    }
    let of = |rank: &rescribe::ranks::RankWork| {
        let rate = rank.per_minute.map(|rate| format!(", {rate:.1} a minute")).unwrap_or_default();
        format!("{}: {}{rate}", rank.rank, counted(rank.tasks, "task"))
    };
    let text: Vec<String> = report.ranks.iter().map(of).collect();
    report.note("ranks", text.join(" · "))
}
