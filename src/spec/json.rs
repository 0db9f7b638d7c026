//! Record collections as published: one JSON array, or one JSON object a line.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::error::Problem;
use super::records::Record;
use super::table::Problems;
use super::{SourceText, Span, SpecError};

/// Whether a text is JSON rather than TOML, by its first two characters.
///
/// `[` also opens a TOML table, but what follows it there is a name or another `[`.
pub(super) fn looks_like_json(text: &str) -> bool {
    let mut characters = text.trim_start_matches('\u{feff}').chars().filter(|c| !c.is_whitespace());
    match characters.next() {
        Some('{') => true,
        Some('[') => matches!(characters.next(), Some('{' | ']')),
        _ => false,
    }
}

/// All records of a text; the error holds every record that could not be understood.
pub(super) fn read_records(source: &SourceText) -> Result<Vec<Record>, SpecError> {
    let skipped = source.text().len() - source.text().trim_start_matches('\u{feff}').len();
    let text = &source.text()[skipped..];
    let reading = RecordReader { problems: Problems::default(), records: Vec::new(), seen: 0 };
    let reading = match text.trim_start().starts_with('[') {
        true => read_array(source, text, reading)?,
        false => read_lines(source, text, skipped, reading)?,
    };
    if reading.seen == 0 {
        reading.problems.push(Problem::new("the file has no records"));
    }
    match reading.problems.is_empty() {
        true => Ok(reading.records),
        false => Err(SpecError::of(source, reading.problems.into_vec())),
    }
}

/// Records are converted one at a time: the tree of a whole collection would be several times its text.
struct RecordReader {
    problems: Problems,
    records: Vec<Record>,
    seen: usize,
}

impl RecordReader {
    fn take(&mut self, value: &Value, span: Option<Span>) {
        let index = self.seen;
        self.seen += 1;
        match Record::read(value, index) {
            Ok(record) => self.records.push(record),
            Err(mut problem) => {
                if let Some(span) = span {
                    problem = problem.label(&span, "this record");
                }
                self.problems.push(problem);
            }
        }
    }
}

fn read_array(
    source: &SourceText,
    text: &str,
    mut reading: RecordReader,
) -> Result<RecordReader, SpecError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let outcome = Elements(&mut reading).deserialize(&mut json).and_then(|()| json.end());
    outcome.map_err(|error| syntax_error(source, &error, 0, text))?;
    Ok(reading)
}

fn read_lines(
    source: &SourceText,
    text: &str,
    skipped: usize,
    mut reading: RecordReader,
) -> Result<RecordReader, SpecError> {
    let mut start = skipped;
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            let value = serde_json::from_str(line).ok();
            let Some(value) = value else {
                // One object may be spread over lines: then the whole text is one stream.
                return read_stream(source, text, skipped);
            };
            reading.take(&value, Some(start..start + line.trim_end().len()));
        }
        start += line.len();
    }
    Ok(reading)
}

fn read_stream(source: &SourceText, text: &str, skipped: usize) -> Result<RecordReader, SpecError> {
    let mut reading = RecordReader { problems: Problems::default(), records: Vec::new(), seen: 0 };
    let stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    for value in stream {
        let value = value.map_err(|error| syntax_error(source, &error, skipped, text))?;
        reading.take(&value, None);
    }
    Ok(reading)
}

fn syntax_error(
    source: &SourceText,
    error: &serde_json::Error,
    skipped: usize,
    text: &str,
) -> SpecError {
    let before: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (before + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let width = text[at..].chars().next().map_or(0, char::len_utf8);
    let problem = Problem::new(format!("not valid JSON: {error}"))
        .label(&(skipped + at..skipped + at + width), "here");
    SpecError::of(source, vec![problem])
}

/// Feeds the elements of an array to a [`RecordReader`].
struct Elements<'r>(&'r mut RecordReader);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<Value>()? {
            self.0.take(&value, None);
        }
        Ok(())
    }
}
