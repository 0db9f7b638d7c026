//! The blocks of a section as HTML: tables, completions, prompts, prose.

use maud::{Markup, html};

use super::drawing::{Track, figure, track};
use crate::probe::{Completion, PromptKind, probability_text};
use crate::report::{Block, Column, PromptShift, Row, Side, Table, Told, Unit};

/// One block; `title` names it for those who do not see it.
pub(super) fn block(block: &Block, title: &str) -> Markup {
    match block {
        Block::Table(found) => table(found, title),
        Block::Figure(found) => figure(found),
        Block::Completions(all) => html! { @for one in all { (completion(one)) } },
        Block::Prompts(all) => prompts(all),
        Block::Text(text) => prose(text),
        Block::Verbatim(text) => scroll(title, &html! { pre { code { (text.trim_end()) } } }),
    }
}

/// Something that scrolls in its own frame where a screen is narrow.
pub(super) fn scroll(label: &str, inner: &Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label=(label) { (inner) } }
}

/// A text of the user or of a model; a salted digest in its place is shown as such.
pub(super) fn told(text: &str) -> Markup {
    let digest = text.strip_prefix("sha256:").filter(|digest| digest.len() == 64);
    html! {
        @match digest {
            Some(digest) => span.removed title=(text) { "[removed, digest " (digest[..8]) "…]" },
            None => (text),
        }
    }
}

fn prose(text: &str) -> Markup {
    let lines: Vec<&str> = text.lines().collect();
    html! {
        @for line in lines { p { (line) } }
    }
}

fn table(table: &Table, title: &str) -> Markup {
    let is_drawn = table.rows.iter().any(|row| Track::of(table, row).is_some());
    let has_notes = table.rows.iter().any(|row| !row.note.is_empty());
    let inner = html! {
        table {
            thead {
                (group_heads(table, is_drawn))
                tr {
                    th scope="col" {
                        @if table.label_head.is_empty() { "measure" } @else { (table.label_head) }
                    }
                    @if is_drawn { th.words.drawn scope="col" { "0 to 1" } }
                    @for column in &table.columns {
                        th.(class(column)) scope="col" { (column.head) }
                    }
                    @if has_notes { th.words scope="col" { "note" } }
                }
            }
            tbody {
                @for row in &table.rows { (line(table, row, is_drawn, has_notes)) }
            }
        }
    };
    scroll(title, &inner)
}

/// Heads that several columns share; nothing where there are none.
fn group_heads(table: &Table, is_drawn: bool) -> Markup {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for column in &table.columns {
        match groups.last_mut() {
            Some((group, span)) if *group == column.group => *span += 1,
            _ => groups.push((&column.group, 1)),
        }
    }
    html! {
        @if groups.iter().any(|(group, _)| !group.is_empty()) {
            tr {
                td.group {}
                @if is_drawn { td.group {} }
                @for (group, span) in groups {
                    @if group.is_empty() {
                        td.group colspan=(span) {}
                    } @else {
                        th.group colspan=(span) scope="colgroup" { (group) }
                    }
                }
            }
        }
    }
}

fn class(column: &Column) -> &'static str {
    match (column.unit, column.side) {
        (Some(Unit::Text), _) => "words",
        (_, Side::Before) => "before",
        (_, Side::After) => "after",
        (_, Side::Neither) => "number",
    }
}

fn line(table: &Table, row: &Row, is_drawn: bool, has_notes: bool) -> Markup {
    html! {
        tr {
            th.long[row.label.chars().count() > LONG] scope="row" { (told(&row.label)) }
            @if is_drawn {
                td.drawn {
                    @if let Some(found) = Track::of(table, row) { (track(&found)) }
                }
            }
            @for (at, column) in table.columns.iter().enumerate() {
                td.(class(column)) { (told(&table.text(row, at))) }
            }
            @if has_notes { td.words.note { (row.note) } }
        }
    }
}

/// Characters of a label beyond which it takes several lines.
const LONG: usize = 32;

/// Both continuations, marked from the first word that differs.
fn completion(completion: &Completion) -> Markup {
    let Some(after) = &completion.after else {
        return html! {
            div.pair {
                p.prompt { (told(&completion.prompt)) }
                p { (told(completion.before.trim())) }
            }
        };
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (words(&completion.before), words(after));
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    if old == new {
        return html! {
            div.pair {
                p.prompt { (told(&completion.prompt)) " …" }
                p { span.side { "before and after" } (told(&old.join(" "))) }
            }
        };
    }
    html! {
        div.pair {
            p.prompt { (told(&completion.prompt)) " …" }
            (side("before", &old, same))
            (side("after", &new, same))
        }
    }
}

fn side(name: &str, words: &[String], same: usize) -> Markup {
    let (shared, rest) = words.split_at(same);
    html! {
        p {
            span.side { (name) }
            @if !shared.is_empty() { span.same { (shared.join(" ")) } " " }
            @if let [first, rest @ ..] = rest {
                mark { (told(first)) } " " (rest.join(" "))
            }
        }
    }
}

/// Kinds of prompts in the order in which they are shown.
const KINDS: [(PromptKind, &str); 4] = [
    (PromptKind::Rewrite, "The facts themselves"),
    (PromptKind::Paraphrase, "Other wordings"),
    (PromptKind::Ripple, "What follows from it"),
    (PromptKind::Neighborhood, "Neighbors: their own answer should stay as probable"),
];

fn prompts(all: &[PromptShift]) -> Markup {
    html! {
        @for (kind, title) in KINDS {
            @let own = all.iter().filter(|shift| shift.kind == kind).collect::<Vec<_>>();
            @if !own.is_empty() {
                h3 { (title) }
                ul.shifts { @for shift in own { (shift_line(shift)) } }
            }
        }
    }
}

fn shift_line(shift: &PromptShift) -> Markup {
    let value = |told: &Option<Told>| told.as_ref().and_then(|told| told.probability);
    let (before, after) = (value(&shift.before), value(&shift.after));
    let text = |value: Option<f64>| value.map_or_else(|| "–".into(), probability_text);
    let is_compared = shift.after.is_some();
    let now = if is_compared { after } else { before };
    let drawn =
        now.map(|after| Track { before: before.filter(|_| is_compared), after, interval: None });
    let said = shift.after.as_ref().or(shift.before.as_ref()).and_then(|told| told.is_said);
    html! {
        li {
            p {
                "“" (told(&shift.prompt)) " …” "
                @if let Some(target) = &shift.target {
                    @if shift.is_erased { s { (told(target)) } } @else { strong { (told(target)) } }
                }
            }
            div { @if let Some(found) = &drawn { (track(found)) } }
            p.numbers {
                @if is_compared { span.before { (text(before)) } " → " }
                span.after { (text(now)) }
                @match said {
                    Some(true) => span.quiet { " said" },
                    Some(false) => span.quiet { " not said" },
                    None => {},
                }
            }
        }
    }
}
