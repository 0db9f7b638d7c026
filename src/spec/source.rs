//! The text that was read, with the name of its file, so that errors can quote it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use toml::de::DeTable;

use super::plain::is_obeyed;

/// Byte offsets into a [`SourceText`].
pub type Span = Range<usize>;

/// A file's name and its text; clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText {
    name: Arc<str>,
    text: Arc<str>,
}

impl SourceText {
    /// A text; `name` is shown in messages, usually the path.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The name of the file in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, verbatim.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as a terminal may show it, where every character keeps its bytes, so that spans stay
    /// right.
    pub(super) fn shown(&self) -> Self {
        let ends_line = |at: usize| self.text[at..].starts_with("\r\n");
        let mut shown = String::with_capacity(self.text.len());
        for (at, c) in self.text.char_indices() {
            match c.len_utf8() {
                _ if matches!(c, '\n' | '\t') || !is_obeyed(c) || ends_line(at) => shown.push(c),
                3 => shown.push(char::REPLACEMENT_CHARACTER),
                bytes => shown.extend(std::iter::repeat_n('?', bytes)),
            }
        }
        Self::new(&self.name, &shown)
    }

    /// The number of the line that holds byte `offset`, from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        let bytes = self.text.as_bytes();
        1 + bytes[..offset.min(bytes.len())].iter().filter(|&&byte| byte == b'\n').count()
    }

    /// The longest of the lines that an excerpt of `span` shows: its own and one on each side.
    pub(super) fn widest_line_around(&self, span: &Span) -> usize {
        let bytes = self.text.as_bytes();
        let line_start =
            |end: usize| bytes[..end].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let line_end = |start: usize| {
            bytes[start..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| start + at)
        };
        let own = line_start(span.start.min(bytes.len()));
        let first = line_start(own.saturating_sub(1));
        let own_end = line_end(span.end.min(bytes.len()));
        let last = line_end((own_end + 1).min(bytes.len()));
        bytes[first..last].split(|&b| b == b'\n').map(<[u8]>::len).max().unwrap_or(0)
    }
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({:?}, {} bytes)", self.name, self.text.len())
    }
}

impl SourceCode for SourceText {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_string(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}

impl SourceText {
    /// The span of a table's name, or of a key in it.
    pub fn place_of(&self, table: &str, key: Option<&str>) -> Option<Span> {
        let document = DeTable::parse(self.text()).ok()?;
        let (name, value) = document.get_ref().get_key_value(table)?;
        match key {
            None => Some(name.span()),
            Some(key) => Some(value.get_ref().as_table()?.get_key_value(key)?.0.span()),
        }
    }

    /// The text without the lines of these tables; comments on lines of their own stay.
    pub(super) fn without_tables(&self, names: &[&str]) -> String {
        let Ok(document) = DeTable::parse(self.text()) else { return self.text().to_owned() };
        let mut spans: Vec<Span> = Vec::new();
        for name in names {
            let Some((key, value)) = document.get_ref().get_key_value(*name) else { continue };
            spans.extend([key.span(), value.span()]);
            for (key, value) in value.get_ref().as_table().into_iter().flat_map(DeTable::iter) {
                spans.extend([key.span(), value.span()]);
            }
        }
        let lines: Vec<_> =
            spans.iter().map(|span| self.line_of(span.start)..=self.line_of(span.end)).collect();
        let is_kept = |line: usize| !lines.iter().any(|range| range.contains(&line));
        let kept = self.text().split_inclusive('\n').enumerate();
        kept.filter(|(index, _)| is_kept(index + 1)).map(|(_, line)| line).collect()
    }
}
