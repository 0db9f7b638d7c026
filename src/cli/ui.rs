//! The terminal: results on stdout, everything else on stderr; nothing else prints.

mod lines;
mod log;
mod text;

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use lines::Lines;
use log::Log;
use text::{COLUMNS, in_json, own};
pub use text::{NOTE, columns, display_width, padded, paragraph, quoted};

use super::args::{Global, When};
use super::exit::{DATA, INTERRUPTED};
use rescribe::progress::{Interrupted, Progress};
use rescribe::report::Report;
use rescribe::report::text::{Tone, render};
use rescribe::spec::plain;

/// Raised by Ctrl-C; long work polls it.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// Nothing is under way that would have to be cleaned up.
static IDLE: AtomicBool = AtomicBool::new(false);

/// Warnings about many records that are shown in full.
const FULL_WARNINGS: usize = 3;

/// The label of an error.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The label of the cause of an error.
pub const CAUSE: Style = Style::new().dimmed();
/// The label of advice.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// The part of a result that is pointed out.
pub const MARK: Style = AnsiColor::Green.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// The terminal as this run uses it.
pub struct Ui {
    is_json: bool,
    is_quiet: bool,
    /// Another rank says everything.
    is_silent: bool,
    has_bars: bool,
    is_terminal: bool,
    color: ColorChoice,
    bar: Mutex<Option<ProgressBar>>,
    log: Mutex<Log>,
    started: Instant,
}

impl Ui {
    /// The terminal of the rank that talks to the user, or of another one.
    pub fn new(global: &Global, is_first: bool) -> Self {
        // The second Ctrl-C ends the process at once, as does the first where it waits for input.
        ctrlc::set_handler(|| {
            if STOPPED.swap(true, Ordering::Relaxed) || IDLE.load(Ordering::Relaxed) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        })
        .ok();
        let terminal = std::io::stderr().is_terminal();
        let color = match global.color {
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
            When::Auto => ColorChoice::Auto,
        };
        let is_quiet = global.quiet || !is_first;
        let has_bars = terminal && !is_quiet;
        Self {
            is_json: global.json,
            is_quiet,
            is_silent: !is_first,
            has_bars,
            is_terminal: terminal,
            color,
            bar: Mutex::new(None),
            log: Mutex::default(),
            started: Instant::now(),
        }
    }

    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// A result, on stdout. A closed pipe ends the program quietly, a full disk does not.
    pub fn print(&self, text: &str) {
        self.close();
        if self.is_silent {
            return;
        }
        let mut out = AutoStream::new(std::io::stdout().lock(), self.color);
        match out.write_all(own(text).as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => {
                let text = format!("cannot write the result to stdout: {error}");
                self.message(ERROR, "Error:", &text);
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

    /// A report, on stdout: as JSON where the user asked for it, otherwise as text.
    pub fn show(&self, report: &Report) -> anyhow::Result<()> {
        if self.is_json {
            return self.print_json(report);
        }
        let paint = |tone: Tone, text: &str| painted(style(tone), text);
        self.print(&format!("\n{}", render(report, COLUMNS, &paint)));
        Ok(())
    }

    /// A value as JSON, on stdout.
    pub fn print_json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.print(&(in_json(&serde_json::to_string_pretty(value)?) + "\n"));
        Ok(())
    }

    /// A line about the work, label right-aligned, on stderr.
    pub fn note(&self, label: &str, text: &str) {
        if !self.is_quiet {
            self.above_bar(&format!("{label:>13}  {}", plain(text)));
        }
    }

    /// A line on stderr that even `--quiet` shows.
    pub fn say(&self, text: &str) {
        self.above_bar(text);
    }

    /// A labelled message on stderr, broken between words where a terminal shows it.
    pub fn message(&self, style: Style, label: &str, text: &str) {
        let start = label.chars().count() + 1;
        let text = plain(text);
        let text = if self.is_terminal { paragraph(start, start, &text) } else { text };
        let shown = label.trim_start();
        let blanks = " ".repeat(label.len() - shown.len());
        self.above_bar(&format!("{blanks}{} {text}", painted(style, shown)));
    }

    /// Removes the progress display.
    pub fn close(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    /// The progress bar; a panic that is about to be reported may have happened while it was
    /// locked.
    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What takes the bar's place without a terminal.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn above_bar(&self, text: &str) {
        match self.bar().as_ref() {
            Some(bar) => bar.suspend(|| self.write_line(text)),
            None => self.write_line(text),
        }
    }

    /// A line on stderr. Nobody may be reading it, or its disk may be full: the work goes on.
    fn write_line(&self, text: &str) {
        if self.is_silent {
            return;
        }
        let mut err = AutoStream::new(std::io::stderr().lock(), self.color);
        let _ = err.write_all(format!("{}\n", own(text)).as_bytes());
    }

    /// Warnings about some of many records: the first few in full, the rest by their number.
    pub fn warn_first(&self, warnings: &[String]) {
        let shown = warnings.len().min(FULL_WARNINGS);
        warnings[..shown].iter().for_each(|warning| self.warn(warning));
        if let rest @ 1.. = warnings.len() - shown {
            self.warn(&format!("more such warnings: {rest}"));
        }
    }
}

/// One hue for what is new, dim for what was, yellow for warnings and red for failures only.
fn style(tone: Tone) -> Style {
    match tone {
        Tone::Before => Style::new().dimmed(),
        Tone::After => AnsiColor::Green.on_default(),
        Tone::Warning => AnsiColor::Yellow.on_default(),
        Tone::Failure => AnsiColor::Red.on_default(),
    }
}

/// `text` in a style; a stream that shows no colours drops them.
pub fn painted(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

impl Progress for Ui {
    fn phase(&self, name: &str, total: Option<u64>) {
        if self.is_quiet {
            return;
        }
        if !self.has_bars {
            let line = self.log().phase(name, total, self.started.elapsed());
            line.iter().for_each(|line| self.write_line(line));
            return;
        }
        // Of two bars, the one that is drawn last could not be removed.
        self.close();
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        // Steps are counted; bytes and tokens are too many to be read.
        let style = ProgressStyle::with_template(match total {
            None => "{prefix:>13}  {spinner} {wide_msg}",
            Some(..10_000) => "{prefix:>13}  {bar:24} {pos}/{len}  {eta} left  {wide_msg}",
            Some(_) => "{prefix:>13}  {bar:24} {percent} %  {eta} left  {wide_msg}",
        });
        bar.set_style(style.expect("a valid template").progress_chars("━━─"));
        bar.set_prefix(plain(name));
        bar.set_draw_target(ProgressDrawTarget::stderr());
        *self.bar() = Some(bar);
    }

    fn advance(&self, done: u64, note: &str) {
        if let Some(bar) = self.bar().as_ref() {
            bar.set_message(plain(note));
            bar.set_position(done);
        } else if !self.has_bars && !self.is_quiet {
            let line = self.log().advance(done, note, self.started.elapsed());
            line.iter().for_each(|line| self.write_line(line));
        }
    }

    fn finish(&self, summary: &str) {
        self.close();
        if !self.is_quiet {
            self.write_line(&format!("{:>13}  {summary}", ""));
        }
    }

    fn warn(&self, message: &str) {
        self.message(WARNING, "Warning:", message);
    }

    fn note(&self, label: &str, text: &str) {
        Self::note(self, label, &paragraph(NOTE, NOTE, text));
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn check(&self) -> Result<(), Interrupted> {
        if STOPPED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}
