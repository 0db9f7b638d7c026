//! A report as text for a terminal: aligned tables, wrapped sentences, a command to try next.
//!
//! Labels are right-aligned, as in Cargo, in one column for all tables of a report. A note that
//! does not fit next to its row is wrapped below it. Columns are counted as a terminal shows them.

use std::ops::Range;

use textwrap::{Options, WordSplitter};
use unicode_width::UnicodeWidthStr;

use super::figure::{Figure, FigureKind, Series};
use super::table::{Side, Table, Unit};
use super::{Block, Completion, Note, Place, Report, Section};
use crate::verdict::{State, Verdict};

/// The tone of a piece of text, by which it is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A number or a text of the base.
    Before,
    /// A number or a text of the edited model.
    After,
    /// A partial success, or a warning.
    Warning,
    /// A failure.
    Failure,
}

/// Colours a piece of text by its tone.
pub type Paint<'a> = &'a dyn Fn(Tone, &str) -> String;

/// Text without colours.
pub fn plain(_: Tone, text: &str) -> String {
    text.to_owned()
}

/// Renders the report for a terminal with this many columns. Its texts can come from anybody: what a
/// terminal would obey in them is escaped.
pub fn render(report: &Report, columns: usize, paint: Paint<'_>) -> String {
    let report = &report.plain();
    let page = Page { columns, paint, label: label_width(report) };
    let sections = report.sections.iter().filter(|section| section.place != Place::Detail);
    let mut parts: Vec<String> = sections.map(|it| page.section(it)).collect();
    parts.extend(report.verdict.as_ref().map(|verdict| page.verdict(verdict)));
    parts.push(page.foot(&report.notes, report.next.as_deref()));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

/// The narrowest column of labels.
const NARROW: usize = 16;
/// Labels wider than this have a column of their own width.
const WIDE: usize = 30;
/// Blanks before titles, sentences and prompts.
const INDENT: usize = 2;
/// Columns of the labels of notes.
const NOTE: usize = 10;
/// Blanks between the columns of a table, where there is room.
const GAP: usize = 2;
/// The narrowest column of a table, where there is room.
const NUMBER: usize = 6;
/// The fewest columns for a note.
const SQUEEZED: usize = 14;

/// One column of labels for all tables of a report.
fn label_width(report: &Report) -> usize {
    let sections = report.sections.iter().filter(|section| section.place != Place::Detail);
    let blocks = sections.flat_map(|section| &section.blocks);
    let widths = blocks.flat_map(|block| match block {
        Block::Table(table) => {
            let labels = table.rows.iter().map(|row| row.label.width());
            labels.chain([table.label_head.width()]).collect::<Vec<_>>()
        }
        Block::Figure(figure) => figure.series.iter().map(|series| series.label.width()).collect(),
        Block::Completions(_) | Block::Prompts(_) | Block::Text(_) | Block::Verbatim(_) => {
            Vec::new()
        }
    });
    widths.filter(|width| *width <= WIDE).fold(NARROW, usize::max)
}

/// The text that is being rendered, and its layout.
struct Page<'a> {
    columns: usize,
    paint: Paint<'a>,
    label: usize,
}

impl Page<'_> {
    fn section(&self, section: &Section) -> String {
        let mut parts: Vec<String> = section.title.iter().map(|title| self.prose(title)).collect();
        parts.extend(section.blocks.iter().map(|block| self.block(block)));
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    }

    fn block(&self, block: &Block) -> String {
        match block {
            // Heads without rows would be read as numbers that are missing.
            Block::Table(table) if table.rows.is_empty() => String::new(),
            Block::Table(table) => self.table(table),
            Block::Figure(figure) => self.figure(figure),
            Block::Completions(all) => {
                all.iter().map(|one| self.completion(one)).collect::<Vec<_>>().join("\n")
            }
            // Their shares are rows of the tables above.
            Block::Prompts(_) => String::new(),
            Block::Text(text) => self.prose(text),
            Block::Verbatim(text) => text.lines().map(|line| trimmed(line.to_owned())).collect(),
        }
    }

    /// A paragraph a line of `text`.
    fn prose(&self, text: &str) -> String {
        let lines = text.lines().map(|line| wrapped(line, INDENT, INDENT, self.columns));
        lines.map(|line| format!("{:INDENT$}{line}\n", "")).collect()
    }

    fn verdict(&self, verdict: &Verdict) -> String {
        let text = self.prose(&verdict.sentence);
        match verdict.state {
            State::Took | State::NotMeasured => text,
            State::TookInPart => self.lines(Tone::Warning, &text),
            State::DidNotTake | State::Damaged => self.lines(Tone::Failure, &text),
        }
    }

    /// Colours line by line, since a pager shows lines separately.
    fn lines(&self, tone: Tone, text: &str) -> String {
        text.lines().map(|line| format!("{}\n", (self.paint)(tone, line))).collect()
    }

    fn foot(&self, notes: &[Note], next: Option<&str>) -> String {
        let indent = NOTE + GAP;
        let line = |label: &str, text: String| format!("{label:>NOTE$}{:GAP$}{text}\n", "");
        let mut out = String::new();
        for note in notes {
            out += &line(&note.label, wrapped(&note.text, indent, indent, self.columns));
        }
        if let Some(command) = next {
            out += &line("next", broken(command, indent, self.columns));
        }
        out
    }

    fn completion(&self, completion: &Completion) -> String {
        let short = |text: &str| shortened(text, self.columns.saturating_sub(INDENT + 10));
        let mut out = format!("{:INDENT$}{:?}\n", "", completion.prompt);
        let mut line = |label: &str, tone: Option<Tone>, text: &str| {
            let text = short(text);
            let text = tone.map_or(text.clone(), |tone| (self.paint)(tone, &text));
            out.push_str(&trimmed(format!("{:INDENT$}  {label:<6}  {text}", "")));
        };
        match &completion.after {
            None => line("says", None, &completion.before),
            Some(after) => {
                line("before", Some(Tone::Before), &completion.before);
                line("after", Some(Tone::After), after);
            }
        }
        out
    }

    fn figure(&self, figure: &Figure) -> String {
        if !matches!(figure.kind, FigureKind::Lines | FigureKind::Bars) {
            return String::new();
        }
        let series = figure.series.iter().filter(|series| series.points.len() > 1);
        series.map(|series| self.series(series, figure.y.unit)).collect()
    }

    /// A line of blocks, and its first and last number.
    fn series(&self, series: &Series, unit: Unit) -> String {
        let values: Vec<f64> = series.points.iter().map(|point| point[1]).collect();
        let ends = [values[0], values[values.len() - 1]].map(|value| unit.format(value));
        let line = sparkline(&values);
        let label = right(&series.label, self.label);
        trimmed(format!("{label}  {line}  {} to {}", ends[0], ends[1]))
    }
}

/// The parts of a table that are the same for all of its rows.
struct Grid {
    label: usize,
    widths: Vec<usize>,
    /// Blanks before each column.
    gaps: Vec<usize>,
}

impl Grid {
    fn used(&self) -> usize {
        self.label + self.widths.iter().sum::<usize>() + self.gaps.iter().sum::<usize>()
    }
}

impl Page<'_> {
    fn table(&self, table: &Table) -> String {
        let cells = |row| (0..table.columns.len()).map(|at| table.text(row, at)).collect();
        let rows: Vec<Vec<String>> = table.rows.iter().map(cells).collect();
        let grid = self.grid(table, &rows);
        let mut out = group_heads(table, &grid) + &self.heads(table, &grid);
        for (row, cells) in table.rows.iter().zip(&rows) {
            let mut line = right(&row.label, grid.label);
            for (at, cell) in cells.iter().enumerate() {
                line += &format!("{:1$}", "", grid.gaps[at]);
                line += &self.aligned(table, &grid, at, cell);
            }
            out += &self.with_note(line, grid.used(), grid.label, &row.note);
        }
        out
    }

    fn grid(&self, table: &Table, rows: &[Vec<String>]) -> Grid {
        let labels = table.rows.iter().map(|row| row.label.width());
        let label = labels.chain([table.label_head.width()]).fold(self.label, usize::max);
        let content: Vec<usize> = (0..table.columns.len())
            .map(|at| {
                let cells = rows.iter().map(|cells| cells[at].width());
                cells.fold(table.columns[at].head.width(), usize::max)
            })
            .collect();
        let notes = table.rows.iter().map(|row| row.note.width().min(SQUEEZED));
        let note = notes.max().filter(|width| *width > 0).map_or(0, |width| GAP + width);
        let wide = grid(table, label, &content, GAP, NUMBER);
        match wide.used() + note <= self.columns {
            true => wide,
            false => grid(table, label, &content, 1, 0),
        }
    }

    /// Aligns numbers right in their column, words left; colours do not count as columns.
    fn aligned(&self, table: &Table, grid: &Grid, at: usize, text: &str) -> String {
        let column = &table.columns[at];
        let blanks = " ".repeat(grid.widths[at].saturating_sub(text.width()));
        let shown = match column.side {
            Side::Before => (self.paint)(Tone::Before, text),
            Side::After => (self.paint)(Tone::After, text),
            Side::Neither => text.to_owned(),
        };
        match column.unit {
            Some(Unit::Text) => shown + &blanks,
            _ => blanks + &shown,
        }
    }

    fn heads(&self, table: &Table, grid: &Grid) -> String {
        let mut line = right(&table.label_head, grid.label);
        for at in 0..table.columns.len() {
            line += &format!("{:1$}", "", grid.gaps[at]);
            line += &self.aligned(table, grid, at, &table.columns[at].head);
        }
        if line.trim().is_empty() { String::new() } else { trimmed(line) }
    }

    /// Writes the note next to its row where there is room, otherwise below it.
    fn with_note(&self, line: String, used: usize, label: usize, note: &str) -> String {
        if note.is_empty() {
            return trimmed(line);
        }
        let beside = used + GAP;
        if beside + SQUEEZED.min(note.width()) <= self.columns {
            let note = wrapped(note, beside, beside, self.columns);
            return format!("{line}{:GAP$}{note}\n", "");
        }
        let below = label + GAP;
        let note = wrapped(note, below, below, self.columns);
        trimmed(line) + &format!("{:below$}{note}\n", "")
    }
}

/// Columns at least `narrowest` wide, `gap` blanks apart, one more between groups.
fn grid(table: &Table, label: usize, content: &[usize], gap: usize, narrowest: usize) -> Grid {
    let mut widths: Vec<usize> = content.iter().map(|width| *width.max(&narrowest)).collect();
    let mut gaps = vec![gap; widths.len()];
    for columns in groups(table) {
        gaps[columns.start] = if columns.start == 0 { GAP } else { gap + 1 };
        let span = span(&widths, &gaps, &columns);
        let head = table.columns[columns.start].group.width();
        widths[columns.end - 1] += head.saturating_sub(span);
    }
    Grid { label, widths, gaps }
}

/// Neighboring columns of the same group, or of none.
fn groups(table: &Table) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        match groups.last_mut() {
            Some(last) if table.columns[last.start].group == column.group => last.end = at + 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// Terminal columns from the start of the first to the end of the last.
fn span(widths: &[usize], gaps: &[usize], columns: &Range<usize>) -> usize {
    let inner = &gaps[columns.start + 1..columns.end];
    widths[columns.clone()].iter().sum::<usize>() + inner.iter().sum::<usize>()
}

/// The line of heads that several columns share; nothing where there are none.
fn group_heads(table: &Table, grid: &Grid) -> String {
    let mut line = " ".repeat(grid.label);
    for columns in groups(table) {
        let group = &table.columns[columns.start].group;
        let width = span(&grid.widths, &grid.gaps, &columns);
        line += &format!("{:1$}{2}", "", grid.gaps[columns.start], right(group, width));
    }
    if line.trim().is_empty() { String::new() } else { trimmed(line) }
}

/// `text` after as many blanks as make it `width` columns wide.
fn right(text: &str, width: usize) -> String {
    format!("{:1$}{text}", "", width.saturating_sub(text.width()))
}

fn trimmed(line: String) -> String {
    format!("{}\n", line.trim_end())
}

/// `text` broken between words, with `start` columns of the first line taken and `indent` blanks
/// before the others.
pub fn wrapped(text: &str, start: usize, indent: usize, columns: usize) -> String {
    let (first, rest) = (" ".repeat(start), " ".repeat(indent));
    let options = Options::new(columns)
        .initial_indent(&first)
        .subsequent_indent(&rest)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    let lines = textwrap::fill(text.trim_end(), options);
    lines.get(start..).unwrap_or_default().to_owned()
}

/// A command broken before an argument where it would not fit, so that it can still be pasted.
fn broken(command: &str, start: usize, columns: usize) -> String {
    let (mut out, mut column) = (String::new(), start);
    for word in arguments(command) {
        let width = word.width();
        if !out.is_empty() && column + 1 + width + 2 > columns {
            out += &format!(" \\\n{:1$}", "", start + 2);
            column = start + 2;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += width;
    }
    out
}

/// The words of a command, quoted ones whole.
fn arguments(command: &str) -> Vec<&str> {
    let (mut words, mut start, mut quote, mut is_escaped) = (Vec::new(), 0, None, false);
    for (at, c) in command.char_indices() {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => {
                words.push(&command[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&command[start..]);
    words.retain(|word| !word.is_empty());
    words
}

/// Text on one line, cut to so many columns.
pub fn shortened(text: &str, columns: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.width() <= columns {
        return line;
    }
    let mut short = String::new();
    for c in line.chars() {
        if short.width() + c.to_string().width() + 1 > columns {
            break;
        }
        short.push(c);
    }
    short + "…"
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a line of blocks.
const SPARK: usize = 24;

/// Means of neighboring numbers as blocks between the least and the largest of them.
fn sparkline(values: &[f64]) -> String {
    let count = values.len().min(SPARK);
    let part = |at: usize| {
        let part = &values[at * values.len() / count..(at + 1) * values.len() / count];
        part.iter().sum::<f64>() / part.len() as f64
    };
    let means: Vec<f64> = (0..count).map(part).collect();
    let finite = || means.iter().copied().filter(|mean| mean.is_finite());
    let (low, high) = (finite().fold(f64::MAX, f64::min), finite().fold(f64::MIN, f64::max));
    let block = |mean: &f64| match (mean.is_finite(), high > low) {
        (false, _) => '×',
        (true, false) => BLOCKS[0],
        (true, true) => BLOCKS[((mean - low) / (high - low) * 7.).round() as usize],
    };
    means.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_can_still_be_pasted() {
        let command = "rescribe ask --model llama --patch a.patch.safetensors \"It is in a text\"";
        assert_eq!(broken(command, 12, 100), command);
        let expected = "rescribe ask --model llama --patch a.patch.safetensors \\\n              \
                        \"It is in a text\"";
        assert_eq!(broken(command, 12, 80), expected);
        assert_eq!(arguments(r#"a 'b c' d\ e "f \" g""#), ["a", "'b c'", r"d\ e", r#""f \" g""#]);
    }

    #[test]
    fn paragraphs_fit_and_lose_nothing() {
        let words = "The edit took: 10 of 10 paraphrases follow it, 北京 keeps what it has.";
        let broken = wrapped(words, 7, 4, 40);
        assert_eq!(broken.split_whitespace().collect::<Vec<_>>().join(" "), words);
        assert!(broken.lines().next().is_some_and(|line| line.width() <= 33), "{broken}");
        assert!(broken.lines().skip(1).all(|line| line.starts_with("    ") && line.width() <= 40));
    }

    #[test]
    fn texts_are_cut_by_the_columns_that_they_take() {
        assert_eq!(shortened("one\ntwo", 7), "one two");
        assert_eq!(shortened("東京の塔", 6), "東京…");
    }

    #[test]
    fn blocks_follow_the_numbers() {
        assert_eq!(sparkline(&[3., 2., 1., 0.]), "█▆▃▁");
        assert_eq!(sparkline(&[1., 1.]), "▁▁");
        assert_eq!(sparkline(&[1., f64::NAN, 2.]), "▁×█");
        assert_eq!(sparkline(&[0.; 100]).chars().count(), SPARK);
    }
}
