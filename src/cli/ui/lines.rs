//! Lines that a user types or pipes in.

use std::io::{IsTerminal, StdinLock};

use anyhow::Context;
use rustyline::Editor;
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;

use super::Ui;
use rescribe::progress::{Interrupted, Progress};

/// The lines of stdin. In a terminal they can be edited, and earlier ones called back; none is kept
/// in a file, since they may name what is to be deleted.
pub struct Lines<'u> {
    ui: &'u Ui,
    source: Source,
}

enum Source {
    Terminal(Box<Editor<(), MemHistory>>),
    Pipe(std::io::Lines<StdinLock<'static>>),
}

impl<'u> Lines<'u> {
    pub fn new(ui: &'u Ui) -> anyhow::Result<Self> {
        let source = match std::io::stdin().is_terminal() {
            false => Source::Pipe(std::io::stdin().lines()),
            true => {
                // The prompt belongs on the terminal, also where results go into a file.
                let config = Config::builder().behavior(Behavior::PreferTerm).build();
                let editor = Editor::with_history(config, MemHistory::new());
                Source::Terminal(Box::new(editor.context("the terminal cannot be read")?))
            }
        };
        Ok(Self { ui, source })
    }

    /// Whether somebody types the lines.
    pub fn are_typed(&self) -> bool {
        matches!(self.source, Source::Terminal(_))
    }

    /// The next line; nothing at the end of the input. A pipe is shown no prompt.
    pub fn next(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        self.ui.close();
        let line = match &mut self.source {
            Source::Pipe(lines) => {
                self.ui.idle(|| lines.next()).transpose().context("stdin cannot be read as text")?
            }
            Source::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => {
                    editor.add_history_entry(&line).ok();
                    Some(line)
                }
                Err(ReadlineError::Eof) => None,
                Err(ReadlineError::Interrupted) => return Err(Interrupted.into()),
                Err(error) => return Err(error).context("the terminal cannot be read"),
            },
        };
        self.ui.check()?;
        Ok(line)
    }
}
