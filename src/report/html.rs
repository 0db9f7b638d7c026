//! A report as one page: HTML that needs no network and no script, with the data of the report in it.
//!
//! The drawings are SVG of our own, some two hundred lines: they follow the reader's colour scheme,
//! have words for those who do not see them, and take a tenth of the space of a plotting crate's.
//! The page carries the report as JSON, from which [`read`] makes it again, and ends in the digest of
//! all of it.

mod blocks;
mod drawing;
mod embedded;
mod meanings;
mod summary;
#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Block, Made, Place, Report, Section};
use crate::files::seal_page;

pub use embedded::{NotAReport, read};

/// Bytes that a page has at most.
pub const LARGEST: usize = 300_000;

const STYLE: &str = include_str!("html/style.css");
/// Nothing is loaded from anywhere, and nothing runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The report as a page, sealed.
///
/// Where all of it would be larger than [`LARGEST`], the page has only the figures that it shows,
/// and says so; where even these are too many, the longest lists are cut.
pub fn render(report: &Report) -> serde_json::Result<String> {
    let whole = page(report)?;
    if whole.len() <= LARGEST {
        return Ok(whole);
    }
    let note = "This page holds only what it shows; --json prints every measurement.";
    let mut short = Report { data: serde_json::Value::Null, ..report.clone() };
    short.sections.push(Section::from(note.to_owned()));
    let mut entries = LONGEST;
    loop {
        let page = page(&short)?;
        if page.len() <= LARGEST || entries == 0 {
            return Ok(page);
        }
        cut(&mut short, entries);
        entries /= 2;
    }
}

/// Entries of a list that are kept in the first attempt to shorten a page.
const LONGEST: usize = 256;

/// Leaves at most so many entries in each list, and characters in each text by the same measure.
fn cut(report: &mut Report, entries: usize) {
    let text = |text: &mut String| {
        if let Some((end, _)) = text.char_indices().nth(64 * entries) {
            text.truncate(end);
            text.push('…');
        }
    };
    report.made.iter_mut().for_each(|made| {
        made.spec.iter_mut().for_each(text);
        text(&mut made.command);
    });
    report.requests.truncate(entries);
    for block in report.sections.iter_mut().flat_map(|section| &mut section.blocks) {
        match block {
            Block::Table(table) => table.rows.truncate(entries),
            Block::Figure(figure) => figure.series.truncate(entries),
            Block::Completions(all) => all.truncate(entries),
            Block::Prompts(all) => all.truncate(entries),
            Block::Text(found) | Block::Verbatim(found) => text(found),
        }
    }
}

fn page(report: &Report) -> serde_json::Result<String> {
    let data = embedded::script(report)?;
    let title = summary::title(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "rescribe " (env!("CARGO_PKG_VERSION")) };
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (summary::header(report))
                main { (body(report)) }
                footer {
                    p {
                        "The data of this report are inside this page: " code { "rescribe inspect" }
                        " reads them back, and tells whether a byte has changed."
                    }
                }
                (data)
            }
        }
    };
    Ok(seal_page(&page.into_string()))
}

fn body(report: &Report) -> Markup {
    let in_body = report.sections.iter().filter(|section| section.place != Place::Verdict);
    html! {
        (summary::gist(report))
        @for found in in_body { (section(found)) }
        (notes(report))
        @if let Some(made) = &report.made { (origin(made)) }
        (meanings::glossary(report))
    }
}

/// A section under its title, or under the title of what its first block usually shows.
fn section(section: &Section) -> Markup {
    let title = section.title.as_deref().map(|title| title.trim_end().trim_end_matches(':'));
    let title = title.or_else(|| section.blocks.first().and_then(usual_title));
    // What scrolls in a frame of its own is a landmark, which needs a name of its own.
    let name = |at: usize| match (title.unwrap_or("Numbers"), at) {
        (title, 0) => title.to_owned(),
        (title, at) => format!("{title}, part {}", at + 1),
    };
    html! {
        section class=[title.is_none().then_some("plain")] {
            @if let Some(title) = title { h2 { (capitalised(title)) } }
            @for (at, block) in section.blocks.iter().enumerate() {
                (blocks::block(block, &name(at)))
            }
        }
    }
}

/// A title that begins with a capital letter.
fn capitalised(title: &str) -> String {
    let mut letters = title.chars();
    let first = letters.next().map(|it| it.to_uppercase().collect::<String>());
    first.unwrap_or_default() + letters.as_str()
}

fn usual_title(block: &Block) -> Option<&'static str> {
    match block {
        Block::Table(table) if table.rows.iter().any(|row| row.label.ends_with(" extraction")) => {
            Some("What is remembered of the passages")
        }
        Block::Table(_) => Some("Measurements"),
        Block::Figure(_) => Some("Curves"),
        Block::Completions(_) => Some("Continued freely"),
        Block::Prompts(_) => Some("Prompt by prompt"),
        Block::Text(_) | Block::Verbatim(_) => None,
    }
}

fn notes(report: &Report) -> Markup {
    html! {
        @if !report.notes.is_empty() || report.next.is_some() {
            section {
                h2 { "Notes" }
                dl.facts {
                    @for note in &report.notes {
                        dt { (note.label) }
                        dd { (note.text) }
                    }
                }
                @if let Some(next) = &report.next {
                    p { "To try next:" }
                    pre.command { code { (next) } }
                }
            }
        }
    }
}

fn origin(made: &Made) -> Markup {
    html! {
        section {
            h2 { "How to make it again" }
            p { "This command gives the same numbers with the same version, base and files:" }
            pre.command { code { (made.command) } }
            dl.facts {
                dt { "version" }
                dd { "rescribe " (made.version) }
                dt { "base" }
                dd { "weights with SHA-256 " code { (made.base) } }
            }
            @if let Some(spec) = &made.spec {
                h3 { "The spec, as resolved" }
                (blocks::scroll("The spec", &html! { pre { code { (spec.trim()) } } }))
            }
        }
    }
}
