//! JSON files of many items: one array, one item a line, or items one after the other.
//!
//! A text is first cut into its items, by brackets and quotes alone, and each item is parsed
//! separately: so every bad one is found and has a place, and a collection of many megabytes never
//! becomes one tree.

use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::Problem;
use super::{SourceText, Span};

/// One item of a file: its place, and its value or what is wrong with it.
pub(super) type Item = (Span, Result<Value, Problem>);

/// Endings of the names of JSON files.
const ENDINGS: [&str; 3] = ["json", "jsonl", "ndjson"];

/// Whether a file is JSON: by its name, or else by how its text begins.
pub(super) fn is_json(source: &SourceText) -> bool {
    let ending = Path::new(source.name()).extension().map(|it| it.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        || looks_like_json(source.text())
}

/// Whether a text is JSON rather than TOML or prose, by its beginning.
///
/// `[` also opens a TOML table or a remark: it is JSON where a whole object, list or text in quotes
/// follows, and then a comma or `]`.
fn looks_like_json(text: &str) -> bool {
    let text = without_mark(text).trim_start();
    let begins = |rest: &str, with: &[char]| rest.trim_start().starts_with(with);
    match text.as_bytes().first() {
        Some(b'{') => begins(&text[1..], &['"', '}']) || text[1..].trim().is_empty(),
        Some(b'[') if begins(&text[1..], &['"', '{', '[']) => {
            let rest = &text[1..];
            let end = end_of_value(rest.as_bytes(), rest.len() - rest.trim_start().len());
            let is_value = serde_json::from_str::<IgnoredAny>(&rest[..end]).is_ok();
            begins(rest, &['{']) || is_value && begins(&rest[end..], &[',', ']'])
        }
        // A list as Python writes it is refused as JSON, rather than learnt with its brackets.
        Some(b'[') if begins(&text[1..], &['\'']) => text.trim_end().ends_with("']"),
        Some(b'[') => serde_json::from_str::<IgnoredAny>(text).is_ok(),
        _ => false,
    }
}

/// The text after a byte order mark.
fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// The items of a text, in order; an array holds several. The last one is a problem where an array
/// is never closed.
pub(super) fn items(source: &SourceText) -> impl Iterator<Item = Item> + '_ {
    let text = source.text();
    let start = text.len() - without_mark(text).len();
    let (mut places, is_open) = places(text, start);
    let is_bad = |place: &Span| serde_json::from_str::<IgnoredAny>(&text[place.clone()]).is_err();
    let mut is_open = is_open.then_some(start);
    if has_lines(&text[start..]) && (is_open.is_some() || places.iter().any(is_bad)) {
        // A quote that is never closed would swallow the lines after it.
        places = lines(text, start);
        is_open = None;
    }
    let open = is_open.map(|at| {
        let at = at + text[at..].len() - text[at..].trim_start().len();
        let problem = Problem::new("not valid JSON: this list is never closed");
        (at..text.len(), Err(problem.label(&(at..at + 1), "no `]` for it")))
    });
    places.into_iter().map(move |place| (place.clone(), parsed(source, place))).chain(open)
}

/// The part of an item's place that fits an excerpt: its first line.
pub(super) fn head(source: &SourceText, place: &Span) -> Span {
    let text = &source.text()[place.clone()];
    let line = text.lines().next().unwrap_or_default().trim_end();
    place.start..place.start + line.len()
}

fn parsed(source: &SourceText, place: Span) -> Result<Value, Problem> {
    let text = &source.text()[place.clone()];
    if text.is_empty() {
        let problem = Problem::new("not valid JSON: a comma with nothing after it");
        return Err(problem.label(&place, "here"));
    }
    serde_json::from_str(text).map_err(|error| {
        let before: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let mut at = place.start + (before + error.column().saturating_sub(1)).min(text.len());
        while !source.text().is_char_boundary(at) {
            at -= 1;
        }
        let width = source.text()[at..].chars().next().map_or(0, char::len_utf8);
        let message = error.to_string();
        // The place that serde names counts from the beginning of the item.
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        let line = source.text()[..at].rfind('\n').map_or(0, |end| end + 1);
        let column = 1 + source.text()[line..at].chars().count();
        Problem::new(format!("not valid JSON: {what}, at column {column}"))
            .label(&(at..at + width), "here")
    })
}

/// The places of the items from `start` on, and whether a list among them is never closed.
fn places(text: &str, start: usize) -> (Vec<Span>, bool) {
    let blank = |at: usize| at + text[at..].len() - text[at..].trim_start().len();
    let (mut places, mut at) = (Vec::new(), blank(start));
    while at < text.len() {
        let end = match text.as_bytes()[at] {
            b'[' => elements(text, at + 1, &mut places),
            _ => {
                let end = end_of_value(text.as_bytes(), at);
                // A bare word is no JSON, nor is what follows it.
                let is_prose = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_err();
                let is_bare = !text[at..].starts_with(['{', '"']);
                let end = if is_bare && is_prose(&text[at..end]) { text.len() } else { end };
                places.push(trimmed(text, at..end));
                Some(end)
            }
        };
        let Some(end) = end else { return (places, true) };
        at = blank(end);
    }
    (places, false)
}

/// Adds the places of the elements of a list that opens before `at`; the end of the list, or
/// nothing where it has none.
fn elements(text: &str, mut at: usize, places: &mut Vec<Span>) -> Option<usize> {
    if text[at..].trim_start().starts_with(']') {
        return Some(at + text[at..].find(']')? + 1);
    }
    loop {
        let end = end_of_element(text.as_bytes(), at);
        places.push(trimmed(text, at..end));
        match text.as_bytes().get(end)? {
            b',' => at = end + 1,
            _ => return Some(end + 1),
        }
    }
}

fn trimmed(text: &str, place: Span) -> Span {
    let inner = &text[place.clone()];
    let start = place.start + inner.len() - inner.trim_start().len();
    start..start + inner.trim().len()
}

/// The end of the value at `start` that stands alone: after its last bracket or quote, or at a
/// blank.
fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let is_bracket = matches!(bytes.get(start), Some(b'{' | b'['));
    let is_text = bytes.get(start) == Some(&b'"');
    let (mut scan, mut at) = (Scan::default(), start);
    while at < bytes.len() {
        let was_inside = scan.is_inside();
        scan.step(bytes[at]);
        match (is_bracket || is_text, scan.is_inside()) {
            (true, false) if was_inside => return at + 1,
            (false, _) if bytes[at].is_ascii_whitespace() => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of the element of a list at `start`: the comma or bracket after it.
fn end_of_element(bytes: &[u8], start: usize) -> usize {
    let mut scan = Scan::default();
    let is_end = |byte: &u8| {
        let ends = !scan.is_inside() && matches!(byte, b',' | b']');
        scan.step(*byte);
        ends
    };
    bytes[start..].iter().position(is_end).map_or(bytes.len(), |at| start + at)
}

/// Brackets and quotes that are open.
#[derive(Default)]
struct Scan {
    depth: usize,
    is_quoted: bool,
    is_escaped: bool,
}

impl Scan {
    fn is_inside(&self) -> bool {
        self.depth > 0 || self.is_quoted
    }

    fn step(&mut self, byte: u8) {
        match (self.is_quoted, byte) {
            (true, _) if self.is_escaped => self.is_escaped = false,
            (true, b'\\') => self.is_escaped = true,
            (_, b'"') => self.is_quoted = !self.is_quoted,
            (false, b'{' | b'[') => self.depth += 1,
            (false, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// Whether a text is meant as one object a line: most lines begin with one, and some line is one.
fn has_lines(text: &str) -> bool {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let begin = lines().filter(|line| line.starts_with('{')).count();
    text.trim_start().starts_with('{')
        && 2 * begin >= lines().count()
        && lines().any(|line| serde_json::from_str::<IgnoredAny>(line).is_ok())
}

/// The places of the lines that are not blank.
fn lines(text: &str, start: usize) -> Vec<Span> {
    let mut at = start;
    let places = text[start..].split_inclusive('\n').map(|line| {
        at += line.len();
        trimmed(text, at - line.len()..at)
    });
    places.filter(|place| !place.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Value, String>> {
        let source = SourceText::new("x", text);
        items(&source).map(|(_, item)| item.map_err(|problem| problem.message)).collect()
    }

    #[test]
    fn items_of_every_arrangement() {
        let rows = [
            ("[1, \"a,]\\\"\", {\"b\": [2, 3]}]", 3),
            ("{\"a\": 1}\n{\"a\": \"}\\n\"}\r\n\n", 2),
            ("{\n \"a\": 1\n}\n{\n \"a\": [\n1]}", 2),
            ("\u{feff}[[1, 2], [3]]", 2),
            ("[1]\n[2, 3]", 3),
            ("\"a\" \"b\"", 2),
            ("[]", 0),
            (" [ ] ", 0),
            ("", 0),
        ];
        for (text, count) in rows {
            let items = read(text);
            assert_eq!(items.len(), count, "{text:?}: {items:?}");
            assert!(items.iter().all(Result::is_ok), "{text:?}: {items:?}");
        }
    }

    #[test]
    fn every_bad_item_is_found_and_the_others_are_read() {
        let rows = [
            ("{\"a\": 1}\n{\"a\": \"x}\n{\"a\": 2}\n{\"a\" 3}\n", [true, false, true, false]),
            ("[{\"a\": 1}, {\"a\": x}, {\"a\": 2}, ]", [true, false, true, false]),
            ("{\"a\": }\n{\"a\": 1}\nnot\n{\"a\": 2}", [false, true, false, true]),
        ];
        for (text, expected) in rows {
            let found: Vec<bool> = read(text).iter().map(Result::is_ok).collect();
            assert_eq!(found, expected, "{text:?}: {:?}", read(text));
        }
        let open = read("[\"a\", \"b\"");
        assert_eq!(open[2], Err("not valid JSON: this list is never closed".into()));
    }

    #[test]
    fn json_is_told_from_toml_and_prose() {
        let rows = [
            ("[{\"a\": 1}]", true),
            ("[\"a\", \"b\"]", true),
            ("[\"a, b\", \"c", true),
            ("[]", true),
            ("[1, 2]", true),
            ("{\"text\": 1", true),
            ("[[insert]]\nsubject = \"x\"", false),
            ("[rank_one]\nseed = 1", false),
            ("[\"Nobody knows,\" he said.]", false),
            ("[1] In the beginning", false),
            ("{\\bf bold} text", false),
            ("\"Come in,\" she said.", false),
        ];
        for (text, expected) in rows {
            assert_eq!(is_json(&SourceText::new("x", text)), expected, "{text:?}");
        }
        assert!(is_json(&SourceText::new("a/x.JSONL", "no JSON at all")));
    }
}
