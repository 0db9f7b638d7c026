//! Tables as spreadsheets export them: a header line, then rows of cells with commas, semicolons or
//! tabs between them.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::error::Problem;
use super::table::nearest;
use super::{SourceText, Span, SpecError};

/// A table whose columns have known names.
pub(super) struct Sheet {
    /// The names of the columns: known ones in their own form, others as written.
    columns: Vec<String>,
    /// Names of columns that are not read.
    unknown: Vec<String>,
    /// The place of the header.
    header: Span,
    /// The rows that are not blank.
    pub(super) rows: Vec<SheetRow>,
}

/// A row under the header.
pub(super) struct SheetRow {
    /// The number of its line in the file, from 1.
    pub(super) line: usize,
    /// Its place in the file.
    pub(super) place: Span,
    cells: Result<Vec<(String, String)>, Problem>,
}

impl SheetRow {
    /// The cells that are not blank, by the names of their columns.
    pub(super) fn value(&self) -> Result<Value, Problem> {
        let cells = self.cells.as_ref().map_err(Problem::clone)?;
        let filled = cells.iter().filter(|(_, cell)| !cell.trim().is_empty());
        let map: Map<String, Value> =
            filled.map(|(name, cell)| (name.clone(), Value::String(cell.clone()))).collect();
        Ok(Value::Object(map))
    }
}

/// Other names of known columns.
const ALIASES: [(&str, &str); 6] = [
    ("paraphrase", "paraphrases"),
    ("paraphrase_prompts", "paraphrases"),
    ("neighborhood_prompts", "neighborhood"),
    ("neighbors", "neighborhood"),
    ("case_id", "id"),
    ("ground_truth", "target_true"),
];

/// Whether a file is a table: by its name, or by a first line most of which names columns of
/// `known`.
pub(super) fn is_sheet(source: &SourceText, known: &[&str]) -> bool {
    let ending = Path::new(source.name()).extension().map(|it| it.to_ascii_lowercase());
    let is_named = ending.is_some_and(|it| ["csv", "tsv", "tab"].iter().any(|known| it == *known));
    let first = without_mark(source.text()).lines().next().unwrap_or_default();
    let is_header = |mark: u8| {
        let cells: Vec<&str> = first.split(char::from(mark)).collect();
        let names = cells.iter().filter(|cell| known_name(cell, known).is_some()).count();
        names > 1 && 2 * names >= cells.len()
    };
    is_named || first.len() < 1000 && MARKS.iter().any(|mark| is_header(*mark))
}

/// Characters that separate cells.
const MARKS: [u8; 3] = [b',', b';', b'\t'];

fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// The known column that a header's cell names: letter case, blanks and hyphens do not count.
fn known_name<'k>(cell: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = cell.trim().trim_matches('"').trim().to_lowercase().replace([' ', '-'], "_");
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, meant)| *meant);
    known.iter().copied().find(|known| *known == name || Some(*known) == alias)
}

impl Sheet {
    /// Reads a table; columns other than those of `known` are kept under the names that they have.
    pub(super) fn read(source: &SourceText, known: &[&str]) -> Result<Self, SpecError> {
        let start = source.text().len() - without_mark(source.text()).len();
        let (start, mark) = separator(source.text(), start, known);
        let text = &source.text()[start..];
        let mut reader = ReaderBuilder::new()
            .delimiter(mark)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut records = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| {
                SpecError::of(source, vec![Problem::new(format!("not a table: {error}"))])
            })?;
            records.push(record);
        }
        let ends = records.iter().skip(1).map(|record| start + offset(record));
        let ends: Vec<usize> = ends.chain([source.text().len()]).collect();
        let mut found = records.iter().zip(&ends).map(|(record, end)| {
            let at = start + offset(record);
            let piece = &source.text()[at..*end];
            let row = piece.trim_start_matches(['\r', '\n']);
            let at = at + piece.len() - row.len();
            (record, at..at + row.trim_end().len())
        });
        let Some((header, place)) = found.next() else {
            return Err(SpecError::of(source, vec![Problem::new("the table is empty")]));
        };
        let columns: Vec<String> = header.iter().map(|cell| column(cell, known)).collect();
        if let Some(name) = repeated(&columns, known) {
            let problem = Problem::new(format!("two columns are `{name}`"));
            let problem = problem.label(&place, "the header").help("leave one of them out");
            return Err(SpecError::of(source, vec![problem]));
        }
        let is_unknown = |name: &&String| !name.is_empty() && !known.contains(&name.as_str());
        let unknown = columns.iter().filter(is_unknown).cloned().collect();
        let is_filled = |record: &StringRecord| record.iter().any(|cell| !cell.trim().is_empty());
        let rows = found.filter(|(record, _)| is_filled(record));
        let rows = rows.map(|(record, place)| row(source, &columns, record, place, mark)).collect();
        Ok(Self { columns, unknown, header: place, rows })
    }

    /// Whether the table has a column of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column == name)
    }

    /// Refuses a table without each of these columns.
    pub(super) fn require(
        &self,
        source: &SourceText,
        required: &[&str],
        help: &str,
    ) -> Result<(), SpecError> {
        let missing: Vec<&str> = required.iter().copied().filter(|name| !self.has(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let meant = |unknown: &String| {
            let near = nearest(unknown, &missing)?;
            Some(format!("is {unknown:?} meant to be `{near}`?"))
        };
        let label = self.unknown.iter().find_map(meant);
        let missing: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        let noun = if missing.len() == 1 { "column" } else { "columns" };
        let found: Vec<String> = self.columns.iter().map(|name| format!("{name:?}")).collect();
        let message = format!("no {noun} {} among {}", missing.join(", "), found.join(", "));
        let problem = Problem::new(message)
            .label(&self.header, label.unwrap_or_else(|| "the header".into()))
            .help(help);
        Err(SpecError::of(source, vec![problem]))
    }

    /// A note on the columns that are not read.
    pub(super) fn notes(&self) -> Vec<String> {
        let names: Vec<String> = self.unknown.iter().map(|name| format!("{name:?}")).collect();
        match names.as_slice() {
            [] => Vec::new(),
            [name] => vec![format!("the column {name} of the table is not read")],
            names => vec![format!("the columns {} of the table are not read", names.join(", "))],
        }
    }
}

/// Where the table starts after a line such as `sep=;`, and its separator: the one by which the
/// first line names most known columns.
fn separator(text: &str, start: usize, known: &[&str]) -> (usize, u8) {
    let first = text[start..].split_inclusive('\n').next().unwrap_or_default();
    if let Some([mark]) = first.trim_end().strip_prefix("sep=").map(str::as_bytes) {
        return (start + first.len(), *mark);
    }
    let count = |mark: u8| {
        let cells = first.split(char::from(mark));
        let (mut names, mut all) = (0, 0);
        for cell in cells {
            all += 1;
            names += usize::from(known_name(cell, known).is_some());
        }
        (names, all)
    };
    let best = MARKS.into_iter().rev().max_by_key(|mark| count(*mark));
    (start, best.unwrap_or(b','))
}

fn offset(record: &StringRecord) -> usize {
    record.position().map_or(0, |position| position.byte() as usize)
}

/// A known column that the header has twice.
fn repeated<'c>(columns: &'c [String], known: &[&str]) -> Option<&'c str> {
    let is_known = |name: &&String| known.contains(&name.as_str());
    let twice = |(at, name): &(usize, &String)| columns[..*at].contains(name);
    let found = columns.iter().enumerate().filter(|(_, name)| is_known(name)).find(twice);
    found.map(|(_, name)| name.as_str())
}

fn column(cell: &str, known: &[&str]) -> String {
    known_name(cell, known).map_or_else(|| cell.trim().to_owned(), str::to_owned)
}

fn row(
    source: &SourceText,
    columns: &[String],
    record: &StringRecord,
    place: Span,
    mark: u8,
) -> SheetRow {
    let line = source.line_of(place.start);
    let text = &source.text()[place.clone()];
    let of_row = |problem: Problem| Err(problem.of_record(&line.to_string()));
    let extra = record.iter().skip(columns.len()).any(|cell| !cell.trim().is_empty());
    // A lone quote inside of a cell, as in `6" pipe`, opens nothing.
    let opens = text.starts_with('"') || text.contains(&format!("{}\"", char::from(mark)));
    let is_odd = text.matches('"').count() % 2 == 1;
    let cells = if is_odd && (opens || text.contains('\n')) {
        let at = place.start + text.find('"').unwrap_or(0);
        let problem =
            Problem::new(format!("the row on line {line} opens a quote that never closes"));
        of_row(problem.label(&(at..at + 1), "perhaps this one"))
    } else if extra {
        let what = match mark {
            b';' => "a semicolon",
            b'\t' => "a tab",
            _ => "a comma",
        };
        of_row(Problem::new(format!(
            "the row on line {line} has {} cells, but the header has {}: put text with {what} in \
             quotes",
            record.len(),
            columns.len()
        )))
    } else {
        let cells = columns.iter().cloned().zip(record.iter().map(str::to_owned));
        Ok(cells.filter(|(name, _)| !name.is_empty()).collect())
    };
    SheetRow { line, place, cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["subject", "prompt", "target_new", "target_true"];

    fn sheet(text: &str) -> Sheet {
        Sheet::read(&SourceText::new("f.csv", text), &KNOWN).expect("a table")
    }

    #[test]
    fn every_export_of_a_table_reads_alike() {
        let plain = "subject,prompt,target_new\nVell,\"{} is, today, in\",\"Ark \"\"A\"\"\"\n";
        let rows = [
            plain.to_owned(),
            format!("\u{feff}{}\n\n", plain.replace('\n', "\r\n")),
            plain.replace("subject,prompt,target_new", "Target New;PROMPT;\"Subject\"").replace(
                "Vell,\"{} is, today, in\",\"Ark \"\"A\"\"\"",
                "\"Ark \"\"A\"\"\";{} is, today, in;Vell",
            ),
            format!("sep=,\r\n{plain}"),
            "subject\tprompt\ttarget-new\nVell\t{} is, today, in\t\"Ark \"\"A\"\"\"\n".to_owned(),
            plain.replace("new\n", "new,,\n").replace("\"\"\"\n", "\"\"\",,\n,,,,\n"),
        ];
        for text in rows {
            let sheet = sheet(&text);
            assert_eq!(sheet.rows.len(), 1, "{text:?}");
            let value = sheet.rows[0].value().expect("a row");
            let expected = [("subject", "Vell"), ("prompt", "{} is, today, in")];
            for (name, cell) in expected.into_iter().chain([("target_new", "Ark \"A\"")]) {
                assert_eq!(value[name].as_str(), Some(cell), "{text:?}");
            }
            assert!(sheet.notes().is_empty());
        }
    }

    #[test]
    fn rows_keep_their_lines_and_bad_ones_say_why() {
        let text = "subject,prompt,target_new,note\n\"a\nb\",p,t,\n\nc,p,t,n,m\nd,\"p,t\ne,p,t\n";
        let sheet = sheet(text);
        let lines: Vec<usize> = sheet.rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 5, 6]);
        let problem = |at: usize| sheet.rows[at].value().expect_err("a bad row").message;
        assert_eq!(sheet.rows[0].value().expect("a row")["subject"], "a\nb");
        assert!(problem(1).starts_with("the row on line 5 has 5 cells, but the header has 4"));
        assert_eq!(problem(2), "the row on line 6 opens a quote that never closes");
        assert_eq!(sheet.notes(), ["the column \"note\" of the table is not read"]);
    }

    #[test]
    fn a_quote_that_never_closes_is_named_on_the_last_line_too() {
        let head = "subject,prompt,target_new\n";
        for row in ["\"Oss,{} is,Rome", "Oss,\"{} is,Rome\n", "Oss,{} is,\"Rome"] {
            let sheet = sheet(&format!("{head}{row}"));
            let message = sheet.rows[0].value().expect_err("a bad row").message;
            assert_eq!(message, "the row on line 2 opens a quote that never closes");
        }
        let inches = sheet(&format!("{head}The 6\" pipe,{{}} is,Rome"));
        assert_eq!(inches.rows[0].value().expect("a row")["subject"], "The 6\" pipe");
    }

    #[test]
    fn a_column_that_is_there_twice_is_refused() {
        for head in ["subject,prompt,target_new,Subject", "target_true,subject,ground_truth"] {
            let source = SourceText::new("f.csv", &format!("{head}\na,b,c,d\n"));
            let error = Sheet::read(&source, &KNOWN).err().expect("refused");
            assert!(error.to_string().contains("two columns are `"), "{error}");
        }
        assert!(
            Sheet::read(&SourceText::new("f.csv", "subject,note,note\na,b,c\n"), &KNOWN).is_ok()
        );
    }

    #[test]
    fn the_place_of_a_row_is_the_whole_row() {
        let text = "subject,prompt,target_new\n  Oss,{} is,Bärñ\n";
        let row = &sheet(text).rows[0];
        assert_eq!(&text[row.place.clone()], "  Oss,{} is,Bärñ");
    }

    #[test]
    fn a_missing_column_is_named_with_what_was_found() {
        let source = SourceText::new("f.csv", "Subject,Promt,target_new\na,b,c\n");
        let sheet = Sheet::read(&source, &KNOWN).expect("a table");
        let error = sheet.require(&source, &KNOWN[..3], "help").expect_err("no prompt");
        let message =
            "f.csv, line 1: no column `prompt` among \"subject\", \"Promt\", \"target_new\"";
        assert_eq!(error.to_string(), message);
        assert!(error.problems()[0].labels[0].1.contains("meant to be `prompt`"));
    }

    #[test]
    fn a_header_is_known_without_a_name() {
        let rows = [
            ("subject;prompt;target_new\n", true),
            ("Subject, Prompt, owner\n", true),
            ("The subject, a prompt, and a target.\n", false),
            ("subject\n", false),
            ("", false),
        ];
        for (text, expected) in rows {
            assert_eq!(is_sheet(&SourceText::new("f", text), &KNOWN), expected, "{text:?}");
        }
        assert!(is_sheet(&SourceText::new("a/F.CSV", ""), &KNOWN));
    }
}
