//! The terminal: results on stdout, everything else on stderr; nothing else prints.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{Global, When};
use super::failure::{DATA, INTERRUPTED};
use rescribe::progress::{Interrupted, Progress};
use rescribe::report::Report;
use rescribe::report::text::{self, Tone};

/// Raised by Ctrl-C; long work polls it.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// Nothing is under way that would have to be cleaned up.
static IDLE: AtomicBool = AtomicBool::new(false);

/// Warnings about many records that are shown in full.
const FULL_WARNINGS: usize = 3;

/// The terminal as this run uses it.
pub struct Ui {
    is_json: bool,
    is_quiet: bool,
    has_bars: bool,
    is_terminal: bool,
    has_color: bool,
    /// Of results, which may go to a file while messages go to a terminal.
    has_result_color: bool,
    bar: Mutex<Option<ProgressBar>>,
    started: Instant,
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
        let has_color = |is_terminal: bool| match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => (is_terminal || wanted("CLICOLOR_FORCE")) && !wanted("NO_COLOR"),
        };
        let is_quiet = global.quiet;
        let has_bars = terminal && !is_quiet;
        Self {
            is_json: global.json,
            is_quiet,
            has_bars,
            is_terminal: terminal,
            has_color: has_color(terminal),
            has_result_color: has_color(std::io::stdout().is_terminal()),
            bar: Mutex::new(None),
            started: Instant::now(),
        }
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
                let text = format!("cannot write the result to stdout: {error}");
                self.message("31;1", "Error:", &text);
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
        let paint = |tone: Tone, text: &str| match self.has_result_color {
            true => format!("\x1b[{}m{text}\x1b[0m", colour(tone)),
            false => text.to_owned(),
        };
        self.print(&format!("\n{}", text::render(report, COLUMNS, &paint)));
        Ok(())
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

    /// A labelled message on stderr, broken between words where a terminal shows it.
    pub fn message(&self, code: &str, label: &str, text: &str) {
        let start = label.chars().count() + 1;
        let text = if self.is_terminal { paragraph(start, start, text) } else { text.to_owned() };
        let shown = label.trim_start();
        let blanks = " ".repeat(label.len() - shown.len());
        self.above_bar(&format!("{blanks}{} {text}", self.paint(code, shown)));
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
fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Before => "2",
        Tone::After => "32",
        Tone::Warning => "33",
        Tone::Failure => "31",
    }
}

/// Columns that results and messages keep to.
const COLUMNS: usize = 80;

/// Columns before the text of a note.
pub const NOTE: usize = 15;

/// `text` broken between words, every line but the first behind `indent` blanks; `start` columns of
/// the first line are taken.
pub fn paragraph(start: usize, indent: usize, text: &str) -> String {
    let (mut out, mut column) = (String::new(), start);
    for word in text.split(' ') {
        let width = word.chars().count();
        if out.is_empty() {
            column += width;
        } else if column + 1 + width > COLUMNS {
            out.push_str(&format!("\n{:indent$}", ""));
            column = indent + width;
        } else {
            out.push(' ');
            column += 1 + width;
        }
        out.push_str(word);
    }
    out
}

/// A text as one argument of a shell's command.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| !matches!(c, '"' | '$' | '`' | '\\' | '!');
    match text.chars().all(is_plain) {
        true => format!("\"{text}\""),
        false => format!("'{}'", text.replace('\'', r"'\''")),
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
        // Steps are counted; bytes and tokens are too many to be read.
        let style = ProgressStyle::with_template(match total {
            None => "{prefix:>13}  {spinner} {wide_msg}",
            Some(..10_000) => "{prefix:>13}  {bar:24} {pos}/{len}  {eta} left  {wide_msg}",
            Some(_) => "{prefix:>13}  {bar:24} {percent} %  {eta} left  {wide_msg}",
        });
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
            eprintln!("{:>13}  {summary}", "");
        }
    }

    fn warn(&self, message: &str) {
        self.message("33;1", "Warning:", message);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_fit_the_terminal_and_lose_nothing() {
        let words =
            "The edit took: 10 of 10 paraphrases follow it, 12 of 12 neighbors keep theirs.";
        let broken = paragraph(7, 4, words);
        assert_eq!(broken.split_whitespace().collect::<Vec<_>>().join(" "), words);
        assert_eq!(broken.lines().count(), 2);
        assert!(broken.lines().nth(1).is_some_and(|line| line.starts_with("    ")));
        assert!(broken.lines().all(|line| line.len() <= COLUMNS - 7), "{broken}");
    }

    #[test]
    fn a_text_is_one_argument_of_a_shell() {
        assert_eq!(quoted("It is in"), "\"It is in\"");
        assert_eq!(quoted("It's $5 in"), r"'It'\''s $5 in'");
    }
}
