//! Tables of a report: rows of cells under heads with units, before anything is formatted.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::math::Interval;
use crate::probe::probability_text;

/// Unit of a number, which decides how it is formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share in 0..1, written as such.
    Share,
    /// A share in 0..1, written per cent.
    Percent,
    /// A relative change, written as signed per cent.
    Change,
    /// Nats a token.
    Nats,
    /// A probability, small ones by their order of magnitude.
    Probability,
    /// A whole number.
    Count,
    /// A factor.
    Ratio,
    /// A rank among all tokens, from 1.
    Rank,
    /// Wall-clock seconds.
    Seconds,
    /// A number without a unit, with this many decimals.
    Plain(u8),
    /// A text.
    Text,
}

/// Number of nats below which four decimals are shown.
const FEW_NATS: f64 = 0.1;

impl Unit {
    /// A number formatted in this unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{:.1} %", 100. * value),
            // No change has no sign.
            Self::Change if (100. * value).abs() < 0.05 => "0.0 %".into(),
            Self::Change => format!("{:+.1} %", 100. * value),
            Self::Nats if value.abs() < FEW_NATS => format!("{value:.4}"),
            Self::Probability => probability_text(value),
            Self::Count | Self::Rank => format!("{value:.0}"),
            Self::Plain(decimals) => format!("{value:.*}", usize::from(decimals)),
            Self::Share | Self::Nats | Self::Ratio | Self::Seconds | Self::Text => {
                format!("{value:.2}")
            }
        }
    }
}

/// Which model's numbers a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The base.
    Before,
    /// The edited model.
    After,
    /// Both models, or neither.
    #[default]
    Neither,
}

/// The head of a column and the unit of its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// Head of the column.
    pub head: String,
    /// A head over this and the neighboring columns of the same group; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Unit of the column's numbers; without one, each row has its own.
    pub unit: Option<Unit>,
    /// The model whose numbers it holds.
    pub side: Side,
}

impl Column {
    /// A column whose numbers have each row's own unit.
    pub fn new(head: impl Into<String>) -> Self {
        Self { head: head.into(), group: String::new(), unit: None, side: Side::Neither }
    }

    /// A column whose numbers all have one unit.
    pub fn of(head: impl Into<String>, unit: Unit) -> Self {
        Self { unit: Some(unit), ..Self::new(head) }
    }

    /// The column "before", of the base's numbers.
    pub fn before() -> Self {
        Self { side: Side::Before, ..Self::new("before") }
    }

    /// The column "after", of the edited model's numbers.
    pub fn after() -> Self {
        Self { side: Side::After, ..Self::new("after") }
    }

    /// The column "n", of counts.
    pub fn n() -> Self {
        Self::of("n", Unit::Count)
    }

    /// The column of intervals.
    pub fn interval() -> Self {
        Self::new("95 % interval")
    }

    /// Puts the column under a head that it shares with its neighbors.
    pub fn under(self, group: impl Into<String>) -> Self {
        Self { group: group.into(), ..self }
    }

    /// Gives the column's numbers a unit of their own.
    pub fn in_unit(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }
}

/// One entry of a table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Cell {
    /// Nothing was measured, or nothing belongs here.
    #[default]
    Empty,
    /// A number in the unit of its column or row.
    Number(f64),
    /// A count.
    Count(usize),
    /// The ends of an interval.
    Interval {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// A count out of a total, `hits of n`.
    Of {
        /// The number of hits.
        count: usize,
        /// The total.
        of: usize,
    },
    /// A text.
    Text(String),
}

impl<'de> Deserialize<'de> for Cell {
    /// Reads an entry back as it was: JSON tells a count, which has no point, from a number.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        let count = |key: &str| value.get(key).and_then(Value::as_u64).map(|it| it as usize);
        Ok(match &value {
            Value::Null => Self::Empty,
            Value::String(text) => Self::Text(text.clone()),
            Value::Number(found) if found.is_u64() => {
                Self::Count(found.as_u64().unwrap_or(0) as usize)
            }
            Value::Number(found) => Self::Number(found.as_f64().unwrap_or(f64::NAN)),
            _ => match (number("low"), number("high"), count("count"), count("of")) {
                (Some(low), Some(high), ..) => Self::Interval { low, high },
                (_, _, Some(count), Some(of)) => Self::Of { count, of },
                _ => return Err(D::Error::custom("an entry of a table is none of its kinds")),
            },
        })
    }
}

impl Cell {
    /// The entry as text, its numbers in `unit`.
    pub fn format(&self, unit: Unit) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Number(value) => unit.format(*value),
            Self::Count(count) => count.to_string(),
            Self::Interval { low, high } if *low < 0. => {
                format!("{} to {}", unit.format(*low), unit.format(*high))
            }
            Self::Interval { low, high } => {
                format!("{}-{}", unit.format(*low), unit.format(*high))
            }
            Self::Of { count, of } => format!("{count}/{of}"),
            Self::Text(text) => text.clone(),
        }
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, T::into)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Interval> for Cell {
    fn from(interval: &Interval) -> Self {
        Self::Interval { low: interval.low, high: interval.high }
    }
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The name of what was measured, as `--require` takes it.
    pub label: String,
    /// Unit of its numbers, in columns that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// One entry for each column.
    pub cells: Vec<Cell>,
    /// A note on what the numbers mean.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The number that `--require` compares; nothing where it was not measured.
    pub value: Option<f64>,
}

impl Row {
    /// A row without entries.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            unit: None,
            cells: Vec::new(),
            note: String::new(),
            value: None,
        }
    }

    /// A row whose numbers have one unit.
    pub fn of(label: impl Into<String>, unit: Unit) -> Self {
        Self { unit: Some(unit), ..Self::new(label) }
    }

    /// Adds an entry.
    pub fn cell(mut self, cell: impl Into<Cell>) -> Self {
        self.cells.push(cell.into());
        self
    }

    /// Adds the entry that `--require` compares.
    pub fn value(mut self, value: impl Into<Option<f64>>) -> Self {
        let value = value.into();
        self.value = value;
        self.cell(value)
    }

    /// Adds a note on what the numbers mean.
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// Rows under heads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// The head over the labels, which tells tables with equal labels apart.
    pub label_head: String,
    /// The columns of the table.
    pub columns: Vec<Column>,
    /// The rows of the table.
    pub rows: Vec<Row>,
    /// Whether a row is a measure that `--require` can name, and not a batch or a file.
    pub has_measures: bool,
}

impl Table {
    /// A table whose rows are measures.
    pub fn new(label_head: impl Into<String>, columns: impl Into<Vec<Column>>) -> Self {
        Self {
            label_head: label_head.into(),
            columns: columns.into(),
            rows: Vec::new(),
            has_measures: true,
        }
    }

    /// A table whose rows are batches, files or other things that have several numbers each.
    pub fn of_items(label_head: impl Into<String>, columns: impl Into<Vec<Column>>) -> Self {
        Self { has_measures: false, ..Self::new(label_head, columns) }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// An entry as text; a dash where the base or the edited model was not measured.
    pub fn text(&self, row: &Row, column: usize) -> String {
        let found = &self.columns[column];
        let unit = found.unit.or(row.unit).unwrap_or(Unit::Plain(2));
        match row.cells.get(column).unwrap_or(&Cell::Empty) {
            Cell::Empty if found.side != Side::Neither => "-".into(),
            cell => cell.format(unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_their_unit_wants() {
        let rows = [
            (Unit::Share, 1., "1.00"),
            (Unit::Percent, 0.125, "12.5 %"),
            (Unit::Change, 0.018, "+1.8 %"),
            (Unit::Change, -0.0004, "0.0 %"),
            (Unit::Nats, 0.0011, "0.0011"),
            (Unit::Nats, 2.345, "2.35"),
            (Unit::Probability, 0.000_03, "3e-5"),
            (Unit::Probability, 0., "0.0000"),
            (Unit::Rank, 175., "175"),
            (Unit::Plain(3), 0.25, "0.250"),
        ];
        for (unit, value, expected) in rows {
            assert_eq!(unit.format(value), expected, "{unit:?}");
        }
    }

    #[test]
    fn a_column_unit_goes_before_the_unit_of_the_row() {
        let columns = [Column::before(), Column::of("seconds", Unit::Plain(1)), Column::new("x")];
        let mut table = Table::new("", columns);
        table.push(Row::of("share", Unit::Share).cell(Cell::Empty).cell(2.).cell(0.5));
        let texts: Vec<String> = (0..3).map(|at| table.text(&table.rows[0], at)).collect();
        assert_eq!(texts, ["-", "2.0", "0.50"]);
    }

    #[test]
    fn entries_are_plain_json() {
        let row = Row::new("a")
            .cell(0.5)
            .cell(3_usize)
            .cell(Cell::Empty)
            .cell(Cell::Of { count: 1, of: 2 });
        let json = serde_json::to_string(&row.cells).expect("plain data");
        assert_eq!(json, r#"[0.5,3,null,{"count":1,"of":2}]"#);
    }

    #[test]
    fn entries_are_read_back_as_they_were() {
        let cells = [
            Cell::Empty,
            Cell::Number(3.),
            Cell::Count(3),
            Cell::Interval { low: -1., high: 2. },
            Cell::Of { count: 0, of: 4 },
            Cell::Text("null".into()),
        ];
        let json = serde_json::to_string(&cells).expect("plain data");
        let read: Vec<Cell> = serde_json::from_str(&json).expect("as written");
        assert_eq!(read, cells);
        assert!(serde_json::from_str::<Cell>(r#"{"low":1}"#).is_err());
    }
}
