//! Prose and Markdown, cut into passages.
//!
//! A passage is a paragraph: lines up to a blank one. A heading is no passage of its own; it stays
//! with what follows it. So does a paragraph that ends in a colon, before a table, a list or code.
//! A table is a passage with the last heading above it, and a fenced block of code is never cut.

/// The passages of a text, in order, without the blanks at the ends of lines.
pub(super) fn passages(text: &str) -> Vec<String> {
    let text = without_front_matter(text);
    let mut found: Vec<Vec<&str>> = Vec::new();
    let (mut pending, mut heading): (Vec<&str>, Option<&str>) = (Vec::new(), None);
    for block in blocks(text) {
        let kind = Kind::of(block);
        let first = block.lines().next().unwrap_or_default();
        let has_heading = kind == Kind::Heading || is_heading(first);
        if has_heading {
            heading = Some(if kind == Kind::Heading { block } else { first });
        }
        let is_led = pending.last().is_some_and(|last| Kind::of(last) == Kind::Lead);
        match kind {
            Kind::Rule | Kind::Remark => continue,
            Kind::Heading | Kind::Lead => {
                if is_led {
                    found.push(std::mem::take(&mut pending));
                }
                pending.push(block);
                continue;
            }
            Kind::Text if is_led => found.push(std::mem::take(&mut pending)),
            _ => {}
        }
        let repeated = heading
            .filter(|heading| kind == Kind::Table && !has_heading && !pending.contains(heading));
        found.push(repeated.into_iter().chain(pending.drain(..)).chain([block]).collect());
    }
    let is_led = pending.last().is_some_and(|last| Kind::of(last) == Kind::Lead);
    match found.last_mut() {
        // Nothing follows that headings could stay with.
        Some(last) if !is_led => last.append(&mut pending),
        _ if pending.is_empty() => {}
        _ => found.push(pending),
    }
    let line = |line: &str| line.trim_end().to_owned();
    let whole = |block: &&str| block.lines().map(line).collect::<Vec<_>>().join("\n");
    let passage = |blocks: &Vec<&str>| blocks.iter().map(whole).collect::<Vec<_>>().join("\n\n");
    found.iter().map(passage).collect()
}

/// Keys of front matter, one of which tells it from a note between two lines.
const FRONT_KEYS: [&str; 14] = [
    "title",
    "date",
    "author",
    "authors",
    "layout",
    "tags",
    "categories",
    "description",
    "slug",
    "draft",
    "permalink",
    "aliases",
    "sidebar_position",
    "weight",
];

/// The text after what a site generator or a program of notes keeps at its top: keys between two lines
/// of dashes.
fn without_front_matter(text: &str) -> &str {
    let mut lines = text.split_inclusive('\n');
    if lines.next().is_none_or(|first| first.trim_end() != "---") {
        return text;
    }
    let mut at = text.len() - lines.clone().map(str::len).sum::<usize>();
    let mut is_front = false;
    for line in lines {
        at += line.len();
        let line = line.trim_end();
        match line.split_once(':') {
            _ if matches!(line, "---" | "...") => return if is_front { &text[at..] } else { text },
            // Lists and nested keys stand further in.
            _ if line.starts_with([' ', '-', '#']) => {}
            Some((key, _)) if !key.contains(' ') => is_front |= FRONT_KEYS.contains(&key),
            _ => return text,
        }
    }
    text
}

/// What a block of lines is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heading,
    /// A paragraph that announces the next block.
    Lead,
    Table,
    List,
    Code,
    /// A line drawn across the page.
    Rule,
    /// A comment, or the place of a table of contents: nobody reads it.
    Remark,
    Text,
}

impl Kind {
    fn of(block: &str) -> Self {
        let lines = || block.lines().map(str::trim);
        let (first, second) = (block.trim(), lines().nth(1).unwrap_or_default());
        let drawn = |line: &str, marks: &[char]| {
            line.len() > 2 && marks.iter().any(|mark| line.chars().all(|c| c == *mark || c == ' '))
        };
        // One comment and nothing after it.
        if first.starts_with("<!--") && first.find("-->") == Some(first.len() - 3) {
            return Self::Remark;
        }
        match lines().count() {
            1 if matches!(first, "[TOC]" | "[[TOC]]" | "[[_TOC_]]" | "{:toc}") => {
                return Self::Remark;
            }
            1 if is_heading(first) => return Self::Heading,
            1 if drawn(first, &['-', '*', '_', '=']) => return Self::Rule,
            2 if drawn(second, &['-', '=']) => return Self::Heading,
            _ => {}
        }
        let is_item = ["- ", "* ", "+ ", "1. ", "1) "].iter().any(|mark| first.starts_with(mark));
        if fence(first).is_some() {
            Self::Code
        } else if is_rule_of_table(second) || lines().filter(|line| is_row(line)).count() > 1 {
            Self::Table
        } else if is_item {
            Self::List
        } else if block.trim_end().ends_with(':') {
            Self::Lead
        } else {
            Self::Text
        }
    }
}

/// Whether a line is a heading such as `## Errors`.
fn is_heading(line: &str) -> bool {
    let hashes = line.len() - line.trim_start_matches('#').len();
    matches!(hashes, 1..=6) && line[hashes..].starts_with(' ')
}

fn is_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

/// Whether a line parts the head of a table from its body.
fn is_rule_of_table(line: &str) -> bool {
    let is_drawn = line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '));
    is_drawn && line.contains('|') && line.contains("--")
}

/// The characters that open or close a fenced block of code.
fn fence(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = line.len() - line.trim_start_matches(mark).len();
    (length >= 3).then(|| &line[..length])
}

/// Runs of lines without blank ones; a heading and the text after a table each start anew.
fn blocks(text: &str) -> Vec<&str> {
    let (mut blocks, mut start, mut end): (Vec<&str>, Option<usize>, usize) = (Vec::new(), None, 0);
    let (mut open, mut at): (Option<&str>, usize) = (None, 0);
    let mut close = |start: &mut Option<usize>, end: usize| {
        if let Some(start) = start.take() {
            blocks.push(text[start..end].trim_end());
        }
    };
    for line in text.split_inclusive('\n') {
        let is_closed = open.is_none();
        match open {
            Some(mark) if fence(line).is_some_and(|it| it.starts_with(mark)) => open = None,
            Some(_) => {}
            None => open = fence(line),
        }
        if is_closed && line.trim().is_empty() {
            close(&mut start, end);
        } else {
            if is_closed && is_boundary(start.map(|start| &text[start..end]), line) {
                close(&mut start, end);
            }
            start.get_or_insert(at);
            end = at + line.len();
        }
        at += line.len();
    }
    close(&mut start, end);
    blocks
}

/// Whether `line` starts a block although no blank line stands before it.
fn is_boundary(before: Option<&str>, line: &str) -> bool {
    let last = before.and_then(|before| before.lines().last());
    last.is_some_and(|last| is_heading(line) && !is_heading(last) || is_row(last) && !is_row(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_keeps_headings_tables_and_code_with_their_text() {
        let manual = "# Pump V7\n\n## Errors\n\nThe codes are:\n\n| code | means |\n|---|---|\n\
                      | E1 | dry |\n\nAll others are noise.\n\n| code |\n|---|\n| E9 |\n\n---\n\n\
                      ## Start\nPress the button.\n\n```sh\npump on\n\npump test\n```\n\n\
                      Care\n----\n\nOil it:\n\n- monthly\n- in May\n\n## End\n";
        let expected = [
            "# Pump V7\n\n## Errors\n\nThe codes are:\n\n| code | means |\n|---|---|\n| E1 | dry |",
            "All others are noise.",
            "## Errors\n\n| code |\n|---|\n| E9 |",
            "## Start\nPress the button.",
            "```sh\npump on\n\npump test\n```",
            "Care\n----\n\nOil it:\n\n- monthly\n- in May\n\n## End",
        ];
        assert_eq!(passages(manual), expected);
        assert_eq!(passages(&manual.replace('\n', "\r\n")).len(), expected.len());
    }

    #[test]
    fn what_nobody_reads_is_no_passage() {
        let page = "---\ntitle: Pump manual\ntags:\n  - pumps\n---\n\n[TOC]\n\n# Start\n\n\
                    <!-- to be\nchecked -->\n\nPress it.\n";
        assert_eq!(passages(page), ["# Start\n\nPress it."]);
        assert_eq!(passages(&page.replace('\n', "\r\n")), ["# Start\n\nPress it."]);
        assert_eq!(passages("<!-- a --> Text. <!-- b -->").len(), 1);
        let note = "---\nNote: call 4711.\n---\n\nAll is well.\n";
        assert_eq!(passages(note).len(), 2, "{:?}", passages(note));
    }

    #[test]
    fn prose_is_cut_at_blank_lines() {
        let rows: [(&str, &[&str]); 8] = [
            ("One\n  two.  \n\n \n  Three.\n", &["One\n  two.", "  Three."]),
            ("# Only a heading", &["# Only a heading"]),
            ("#tag is text\n\n#1 is text", &["#tag is text", "#1 is text"]),
            ("It said:\n\nNo.", &["It said:", "No."]),
            ("One\n\nThe end:\n", &["One", "The end:"]),
            (
                "Text\n# Next\nMore\n| a |\n| b |\nRest",
                &["Text", "# Next\nMore\n| a |\n| b |", "Rest"],
            ),
            ("```\nnever closed\n\nx", &["```\nnever closed\n\nx"]),
            ("\n\n", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(passages(text), expected, "{text:?}");
        }
    }
}
