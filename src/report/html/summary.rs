//! The head of a page: what it is about, the verdict, the numbers that decide it, what was asked for.

use maud::{Markup, html};

use super::blocks::told;
use super::drawing::{Track, track};
use super::meanings::{COST, TOOK, Tile};
use crate::progress::counted;
use crate::report::{Block, Cell, Place, Report, Request, Row, Side, Table, Unit};
use crate::verdict::State;

/// What the page is about.
pub(super) fn title(report: &Report) -> String {
    let model = &report.model;
    match report.command.as_str() {
        "edit" => format!("Edit of {model}"),
        "probe" => format!("Measurements of {model}"),
        "compare" => format!("Ways to forget, compared on {model}"),
        "verify" => format!("Audit of {model}"),
        "locate" => format!("Where {model} holds its facts"),
        command => format!("{command}: {model}"),
    }
}

/// Title, verdict and numbers.
pub(super) fn header(report: &Report) -> Markup {
    let verdicts = report.sections.iter().filter(|section| section.place == Place::Verdict);
    html! {
        header {
            p.kicker { "rescribe " (report.command) }
            h1 { (title(report)) }
            @if let Some(verdict) = &report.verdict {
                // A sentence alone says why nothing was judged.
                @if verdict.state != State::NotMeasured {
                    p.state.(class(verdict.state)) { (named(verdict.state)) }
                }
                p.lead { (verdict.sentence) }
            }
            @for section in verdicts {
                @if let Some(title) = &section.title { h2 { (title) } }
                @for block in &section.blocks { (super::blocks::block(block, "Verdict")) }
            }
        }
    }
}

/// What was asked for, and the numbers that say whether it took and what it cost.
pub(super) fn gist(report: &Report) -> Markup {
    html! {
        (requests(&report.requests))
        (tiles(report, "Did it take?", &TOOK))
        (tiles(report, "What did it cost?", &COST))
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Took => "took",
        State::TookInPart => "took_in_part",
        State::DidNotTake => "did_not_take",
        State::Damaged => "damaged",
        State::NotMeasured => "not_measured",
    }
}

/// The state as a word with a sign, so that it does not hang on its colour.
fn named(state: State) -> &'static str {
    match state {
        State::Took => "✓ Took",
        State::TookInPart => "◐ Took in part",
        State::DidNotTake => "✕ Did not take",
        State::Damaged => "! Damaged",
        State::NotMeasured => "– Not measured",
    }
}

fn tiles(report: &Report, title: &str, wanted: &[Tile]) -> Markup {
    let blocks = report.sections.iter().flat_map(|section| &section.blocks);
    let tables = blocks.filter_map(|block| match block {
        Block::Table(table) if table.has_measures => Some(table),
        _ => None,
    });
    let tables: Vec<&Table> = tables.collect();
    let found = wanted.iter().filter_map(|tile| {
        let rows = tables.iter().flat_map(|table| table.rows.iter().map(|row| (*table, row)));
        let (table, row) = rows.into_iter().find(|(_, row)| row.label == tile.label)?;
        Some((tile, table, row))
    });
    let found: Vec<(&Tile, &Table, &Row)> = found.collect();
    html! {
        @if !found.is_empty() {
            section {
                h2 { (title) }
                ul.tiles {
                    @for (tile, table, row) in found { (drawn(tile, table, row, report)) }
                }
            }
        }
    }
}

fn drawn(tile: &Tile, table: &Table, row: &Row, report: &Report) -> Markup {
    let at = |side| table.columns.iter().position(|column| column.side == side);
    let (before, after) = (at(Side::Before), at(Side::After));
    let text = |at: Option<usize>| at.map(|at| table.text(row, at)).filter(|it| it != "-");
    let now = text(after).or_else(|| row.value.map(|value| unit(row).format(value)));
    let track = Track::of(table, row);
    html! {
        li.tile {
            h3 { (tile.heading) }
            p.numbers {
                @if let Some(before) = text(before) {
                    span.before { (before) } " → "
                }
                span.after { (now.as_deref().unwrap_or("–")) }
            }
            @if let Some(found) = &track { (self::track(found)) }
            p.quiet { (scope(table, row, limit(tile, report))) }
        }
    }
}

fn unit(row: &Row) -> Unit {
    row.unit.unwrap_or(Unit::Plain(2))
}

/// The number of observations, the interval, and the threshold that the verdict compared it with.
fn scope(table: &Table, row: &Row, limit: Option<f64>) -> String {
    let cell = |head: &str| {
        let at = table.columns.iter().position(|column| column.head == head)?;
        (row.cells.get(at)? != &Cell::Empty).then(|| table.text(row, at))
    };
    let n = cell("n").map(|n| format!("n = {n}"));
    let interval = cell("95 % interval").map(|it| format!("95 %: {it}"));
    let limit = limit.map(|limit| format!("threshold {}", unit(row).format(limit)));
    let parts: Vec<String> = n.into_iter().chain(interval).chain(limit).collect();
    parts.join(" · ")
}

/// The threshold that the verdict compared it with.
fn limit(tile: &Tile, report: &Report) -> Option<f64> {
    let mut reasons = report.verdict.iter().flat_map(|verdict| &verdict.reasons);
    reasons.find(|reason| reason.measure == tile.label)?.limit
}

/// What the spec asked for, one by one.
fn requests(requests: &[Request]) -> Markup {
    html! {
        @if !requests.is_empty() {
            section {
                h2 { "What was asked for" }
                ul.requests {
                    @for request in requests { (item(request)) }
                }
            }
        }
    }
}

fn item(request: &Request) -> Markup {
    let things = match request.verb.as_str() {
        "learn" | "forget" => "passage",
        _ => "fact",
    };
    html! {
        li {
            p.verb { (request.verb) }
            div {
                @if request.prompt.is_empty() {
                    p { (counted(request.count, things)) }
                } @else {
                    p {
                        "“" (told(&request.prompt)) " …”"
                        @if let Some(target) = &request.target { " → " strong { (told(target)) } }
                    }
                }
                @if let Some(why) = &request.unwritten { p.quiet { "not written: " (why) } }
                (answers(request))
            }
        }
    }
}

fn answers(request: &Request) -> Markup {
    let sides = [("before", &request.before), ("after", &request.after)];
    let said = sides.iter().filter_map(|(side, text)| Some((*side, text.as_deref()?)));
    let said: Vec<(&str, &str)> = said.collect();
    html! {
        @if !said.is_empty() {
            dl.answers {
                @for (side, text) in said {
                    dt { (side) }
                    dd.(side) { (told(text.trim())) }
                }
            }
        }
    }
}
