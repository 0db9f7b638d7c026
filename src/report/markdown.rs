//! A report as Markdown: for an issue, a pull request or a README.

use super::figure::Figure;
use super::table::{Table, Unit};
use super::{Block, Completion, PromptShift, Report, Section};
use crate::probe::probability_text;

/// The most rows of a figure's table; the first and the last point are always among them.
const ROWS: usize = 16;

/// The report as Markdown.
pub fn render(report: &Report) -> String {
    let mut parts = vec![format!("# rescribe {}: {}\n", report.command, escaped(&report.model))];
    parts.extend(report.verdict.as_ref().map(|verdict| format!("{}\n", verdict.sentence)));
    parts.extend(report.sections.iter().flat_map(section));
    let notes = report.notes.iter().map(|note| format!("- {}: {}\n", note.label, note.text));
    parts.push(notes.collect());
    parts.extend(report.next.as_ref().map(|command| fenced("console", &format!("$ {command}"))));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn section(section: &Section) -> Vec<String> {
    let title = section.title.iter().map(|title| format!("## {title}\n"));
    title.chain(section.blocks.iter().map(block)).collect()
}

fn block(block: &Block) -> String {
    match block {
        Block::Table(found) => table(found),
        Block::Figure(found) => figure(found),
        Block::Completions(all) => completions(all),
        Block::Prompts(all) => prompts(all),
        Block::Text(text) => format!("{text}\n"),
        Block::Verbatim(text) => fenced("text", text.trim_end()),
    }
}

fn fenced(language: &str, text: &str) -> String {
    // A fence is longer than any in the text.
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}{language}\n{text}\n{fence}\n")
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Lines of a table: heads, alignments, rows.
fn grid(heads: &[String], is_left: &[bool], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| format!(" {} |", escaped(cell)));
        format!("|{}\n", cells.collect::<String>())
    };
    let sides = is_left.iter().map(|is_left| if *is_left { "---|" } else { "---:|" });
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}|{}\n{rows}", line(heads), sides.collect::<String>())
}

fn table(table: &Table) -> String {
    let has_notes = table.rows.iter().any(|row| !row.note.is_empty());
    let notes = has_notes.then(String::new);
    let head = |group: &str, head: &str| match group {
        "" => head.to_owned(),
        group => format!("{group}, {head}"),
    };
    let heads = table.columns.iter().map(|column| head(&column.group, &column.head));
    let heads: Vec<String> =
        [table.label_head.clone()].into_iter().chain(heads).chain(notes).collect();
    let left = table.columns.iter().map(|column| column.unit == Some(Unit::Text));
    let left: Vec<bool> = [true].into_iter().chain(left).chain(has_notes.then_some(true)).collect();
    let rows = table.rows.iter().map(|row| {
        let cells = (0..table.columns.len()).map(|at| table.text(row, at));
        let note = has_notes.then(|| row.note.clone());
        [row.label.clone()].into_iter().chain(cells).chain(note).collect()
    });
    grid(&heads, &left, &rows.collect::<Vec<_>>())
}

/// The points of a figure as a table, thinned out where there are many.
fn figure(figure: &Figure) -> String {
    let points = figure.series.iter().flat_map(|series| &series.points);
    let mut places: Vec<f64> = points.map(|point| point[0]).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    if places.is_empty() {
        return String::new();
    }
    let (last, count) = (places.len() - 1, places.len().min(ROWS));
    let shown = (0..count).map(|at| at * last / (count - 1).max(1));
    let rows = shown.map(|at| {
        let found = figure.series.iter().map(|series| {
            let point = series.points.iter().find(|point| point[0] == places[at]);
            point.map_or_else(String::new, |point| figure.y.unit.format(point[1]))
        });
        [figure.x.format(places[at])].into_iter().chain(found).collect()
    });
    let heads = figure.series.iter().map(|series| series.label.clone());
    let heads: Vec<String> = [figure.x.label.clone()].into_iter().chain(heads).collect();
    let grid = grid(&heads, &vec![false; heads.len()], &rows.collect::<Vec<_>>());
    format!("{}: {}\n\n{grid}", figure.title, figure.y.label)
}

fn prompts(all: &[PromptShift]) -> String {
    let is_compared = all.iter().any(|shift| shift.after.is_some());
    let heads = ["prompt", "target", if is_compared { "before" } else { "P(target)" }];
    let heads = heads.into_iter().chain(is_compared.then_some("after"));
    let heads: Vec<String> = heads.map(str::to_owned).collect();
    let rows = all.iter().map(|shift| {
        let told = [Some(&shift.before), is_compared.then_some(&shift.after)];
        let told = told.into_iter().flatten().map(|side| {
            let probability = side.as_ref().and_then(|told| told.probability);
            probability.map_or_else(String::new, probability_text)
        });
        let texts = [shift.prompt.clone(), shift.target.clone().unwrap_or_default()];
        texts.into_iter().chain(told).collect()
    });
    let is_left: Vec<bool> = (0..heads.len()).map(|at| at < 2).collect();
    grid(&heads, &is_left, &rows.collect::<Vec<_>>())
}

fn completions(all: &[Completion]) -> String {
    let is_compared = all.iter().any(|completion| completion.after.is_some());
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = all.iter().map(|completion| {
        let after = is_compared.then(|| line(completion.after.as_deref().unwrap_or_default()));
        let row = [line(&completion.prompt), line(&completion.before)];
        row.into_iter().chain(after).collect()
    });
    let heads: &[&str] =
        if is_compared { &["prompt", "before", "after"] } else { &["prompt", "says"] };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    grid(&heads, &vec![true; heads.len()], &rows.collect::<Vec<_>>())
}
