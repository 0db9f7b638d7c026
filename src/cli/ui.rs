//! The terminal: results on stdout, everything else on stderr; nothing else prints.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{Global, When};
use super::failure::{DATA, INTERRUPTED};
use crate::progress::{Interrupted, Progress};

/// Raised by Ctrl-C; long work polls it.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// Nothing is under way that would have to be cleaned up.
static IDLE: AtomicBool = AtomicBool::new(false);

/// The terminal as this run uses it.
pub struct Ui {
    is_json: bool,
    is_quiet: bool,
    has_bars: bool,
    has_color: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Ui {
    pub fn new(global: &Global) -> Self {
        // The second Ctrl-C ends the process at once, as does the first where it waits for input.
        ctrlc::set_handler(|| {
            if STOPPED.swap(true, Ordering::Relaxed) || IDLE.load(Ordering::Relaxed) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        })
        .ok();
        let terminal = std::io::stderr().is_terminal();
        let wanted = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let has_color = match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => (terminal || wanted("CLICOLOR_FORCE")) && !wanted("NO_COLOR"),
        };
        let is_quiet = global.quiet;
        let has_bars = terminal && !is_quiet;
        Self { is_json: global.json, is_quiet, has_bars, has_color, bar: Mutex::new(None) }
    }

    pub fn is_json(&self) -> bool {
        self.is_json
    }

    pub fn has_color(&self) -> bool {
        self.has_color
    }

    /// A result, on stdout. A closed pipe ends the program quietly, a full disk does not.
    pub fn print(&self, text: &str) {
        self.close();
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                let label = self.paint("31;1", "Error:");
                self.say(&format!("{label} cannot write the result to stdout: {error}"));
                std::process::exit(i32::from(DATA));
            }
        }
    }

    /// Waits for input; Ctrl-C ends the program meanwhile.
    pub fn idle<T>(&self, wait: impl FnOnce() -> T) -> T {
        IDLE.store(true, Ordering::Relaxed);
        let value = wait();
        IDLE.store(false, Ordering::Relaxed);
        value
    }

    /// A value as JSON, on stdout.
    pub fn print_json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.print(&(serde_json::to_string_pretty(value)? + "\n"));
        Ok(())
    }

    /// A line about the work, label right-aligned, on stderr.
    pub fn note(&self, label: &str, text: &str) {
        if !self.is_quiet {
            self.above_bar(&format!("{label:>13}  {text}"));
        }
    }

    /// A line on stderr that even `--quiet` shows.
    pub fn say(&self, text: &str) {
        self.above_bar(text);
    }

    /// `text` in a colour, where colours are shown.
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.has_color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    /// Removes what the progress display left.
    pub fn close(&self) {
        if let Some(bar) = self.bar.lock().expect("no holder of the lock panics").take() {
            bar.finish_and_clear();
        }
    }

    fn above_bar(&self, text: &str) {
        match self.bar.lock().expect("no holder of the lock panics").as_ref() {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

impl Progress for Ui {
    fn phase(&self, name: &str, total: Option<u64>) {
        if self.is_quiet {
            return;
        }
        if !self.has_bars {
            // Value optimisations are too short to be worth a line each.
            if name != "value" {
                eprintln!("{name:>13}  …");
            }
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{prefix:>10}  {bar:24} {pos}/{len} {msg} ({eta} left)");
        bar.set_style(style.expect("a valid template").progress_chars("━━─"));
        bar.set_prefix(name.to_owned());
        let old = self.bar.lock().expect("no holder of the lock panics").replace(bar);
        if let Some(old) = old {
            old.finish_and_clear();
        }
    }

    fn advance(&self, done: u64, note: &str) {
        if let Some(bar) = self.bar.lock().expect("no holder of the lock panics").as_ref() {
            bar.set_message(note.to_owned());
            bar.set_position(done);
        }
    }

    fn finish(&self, summary: &str) {
        self.close();
        if !self.is_quiet {
            eprintln!("{:>10}  {summary}", "");
        }
    }

    fn warn(&self, message: &str) {
        let label = self.paint("33;1", "Warning:");
        self.above_bar(&format!("{label} {message}"));
    }

    fn check(&self) -> Result<(), Interrupted> {
        if STOPPED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}
