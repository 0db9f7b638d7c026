//! Everything that is wrong with one file, each problem with its places and its fix.

use std::fmt;
use std::io;
use std::path::PathBuf;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};

use super::plain::plain;
use super::{SourceText, Span};

/// Most problems that are shown in full; a collection of records may repeat one thousands of times.
const SHOWN: usize = 20;

/// The longest line that is quoted, in bytes: a JSON file may be a single one of many megabytes.
const WIDEST_LINE: usize = 240;

/// Why a spec, prompt or record file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The file is missing or unreadable.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is too large to be a spec or a file of prompts, records or passages.
    #[error("{} has {bytes} bytes, expected at most {limit}: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Size of the file.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// The file is of a known kind, and no text.
    #[error("{}: {what}", path.display())]
    Mistaken {
        /// The file.
        path: PathBuf,
        /// What it is, and how to get the text that was meant.
        what: &'static str,
    },
    /// The file is binary, or in another encoding.
    #[error(
        "{} is not UTF-8 text: first bad byte at offset {offset}; save it as UTF-8",
        path.display()
    )]
    NotText {
        /// The file.
        path: PathBuf,
        /// Offset of the first invalid byte.
        offset: usize,
    },
    /// The text was read, and has problems.
    #[error("{}", summary(source_text, problems))]
    Problems {
        /// The file's name and text.
        source_text: SourceText,
        /// All problems, in the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The problem in one sentence: what was found and what was expected.
    pub message: String,
    /// The places to underline, each with a word on it; the first is the main one.
    pub labels: Vec<(Span, String)>,
    /// Advice on how to fix the problem.
    pub help: Option<String>,
    /// The number of the record that has the problem, which the file can be read without.
    pub record: Option<String>,
}

impl Problem {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), labels: Vec::new(), help: None, record: None }
    }

    /// Underlines `span`, with `text` on it.
    pub fn label(mut self, span: &Span, text: impl Into<String>) -> Self {
        self.labels.push((span.clone(), text.into()));
        self
    }

    /// Says which record has the problem.
    pub(super) fn of_record(mut self, id: &str) -> Self {
        self.record = Some(id.to_owned());
        self
    }

    /// Adds advice on how to fix the problem.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// The problem as a terminal may show it: texts of the file are quoted in it.
    fn shown(&self) -> Self {
        let label = |(span, text): &(Span, String)| (span.clone(), plain(text));
        Self {
            message: plain(&self.message),
            labels: self.labels.iter().map(label).collect(),
            help: self.help.as_deref().map(plain),
            record: self.record.clone(),
        }
    }
}

/// The form of error excerpts on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Width in columns.
    pub width: usize,
    /// Whether to use ANSI colours.
    pub color: bool,
    /// Whether to use box-drawing characters instead of ASCII.
    pub unicode: bool,
}

impl SpecError {
    /// The error of a file with these problems; later stages report theirs in the same way.
    pub fn of(source_text: &SourceText, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.labels.first().map(|(span, _)| span.start));
        Self::Problems { source_text: source_text.clone(), problems }
    }

    /// All problems of the text; empty where there is no text.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems { problems, .. } => problems,
            _ => &[],
        }
    }

    /// Whether leaving out single records would solve all problems.
    pub fn is_of_records(&self) -> bool {
        let problems = self.problems();
        !problems.is_empty() && problems.iter().all(|problem| problem.record.is_some())
    }

    /// The problems as labelled excerpts of the file, each with its fix; empty where there is no
    /// text.
    pub fn excerpts(&self, look: Look) -> String {
        let Self::Problems { source_text, problems } = self else { return String::new() };
        let source_text = &source_text.shown();
        let handler = GraphicalReportHandler::new_themed(look.theme()).with_width(look.width);
        let mut out = String::new();
        for (index, problem) in problems.iter().take(SHOWN).enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let problem = problem.shown();
            let quoted = Quoted::new(&problem, source_text);
            handler
                .render_report(&mut out, &quoted)
                .expect("writing to a string, with spans that lie inside the text");
        }
        if problems.len() > SHOWN {
            out.push_str(&format!("\n  and {} more\n", problems.len() - SHOWN));
        }
        out
    }
}

impl Look {
    fn theme(self) -> GraphicalTheme {
        let mut theme =
            if self.unicode { GraphicalTheme::unicode() } else { GraphicalTheme::ascii() };
        if !self.color {
            theme.styles = miette::ThemeStyles::none();
        }
        theme
    }
}

fn summary(source_text: &SourceText, problems: &[Problem]) -> String {
    let name = source_text.name();
    match problems {
        [only] => match only.labels.first() {
            Some((span, _)) => {
                format!("{name}, line {}: {}", source_text.line_of(span.start), only.message)
            }
            None => format!("{name}: {}", only.message),
        },
        _ => format!("{name} has {} problems", problems.len()),
    }
}

/// A problem together with the text that its labels point into.
#[derive(Debug)]
struct Quoted<'a> {
    problem: &'a Problem,
    source_text: &'a SourceText,
    /// Whether the lines around the labels are short enough to be shown.
    with_lines: bool,
}

impl<'a> Quoted<'a> {
    fn new(problem: &'a Problem, source_text: &'a SourceText) -> Self {
        let mut spans = problem.labels.iter().map(|(span, _)| span);
        let with_lines = spans.all(|span| source_text.widest_line_around(span) <= WIDEST_LINE);
        Self { problem, source_text, with_lines }
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (false, Some((span, _))) = (self.with_lines, self.problem.labels.first()) {
            write!(f, "line {}: ", self.source_text.line_of(span.start))?;
        }
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Quoted<'_> {}

impl Diagnostic for Quoted<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source_text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.with_lines { self.problem.labels() } else { None }
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let first = self.labels.first().map(|(span, text)| {
            LabeledSpan::new_primary_with_span(Some(text.clone()), span.clone())
        });
        let rest = self.labels.iter().skip(1);
        let rest =
            rest.map(|(span, text)| LabeledSpan::new_with_span(Some(text.clone()), span.clone()));
        Some(Box::new(first.into_iter().chain(rest)))
    }
}

impl Diagnostic for SpecError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self {
            Self::Problems { source_text, .. } => Some(source_text),
            _ => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems().iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
