//! The kinds of values that settings take, in a spec and as a flag.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::Value;
use crate::spec::error::Problem;
use crate::spec::table::{Fields, Problems, Text, nearest};
use crate::spec::text_file::FileCheck;

/// More layers than any decoder in use has; a larger number is a mistake.
const MOST_LAYERS: usize = 10_000;

/// The kind of value that a setting takes; displayed as the range that errors name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number between two bounds, both included.
    Count(usize, usize),
    /// A whole number of 64 bits.
    Seed,
    /// A real number.
    Real(Reals),
    /// A real number, or `"auto"`.
    Rate(Reals),
    /// `true` or `false`; a flag without a value is `true`.
    Switch,
    /// One of a list of words.
    Word(&'static [&'static str]),
    /// A list of layers.
    Layers,
    /// A list of layers, `"auto"` or `"sweep"`.
    LayerChoice,
    /// The path of a file.
    File,
}

/// A range of real numbers, which never holds NaN or an infinity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reals {
    low: f64,
    high: f64,
    has_low: bool,
}

impl Reals {
    /// Numbers above 0, up to `high`.
    pub const fn above_zero(high: f64) -> Self {
        Self { low: 0., high, has_low: false }
    }

    /// Numbers from 0 to `high`.
    pub const fn from_zero(high: f64) -> Self {
        Self { low: 0., high, has_low: true }
    }

    /// Whether `number` is one of them.
    pub fn contains(&self, number: f64) -> bool {
        let is_above = if self.has_low { number >= self.low } else { number > self.low };
        is_above && number <= self.high
    }
}

impl fmt::Display for Reals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Powers of ten with many zeros are hard to read.
        let high = match self.high {
            high if high >= 1e5 => format!("{high:e}"),
            high => high.to_string(),
        };
        match self.has_low {
            true => write!(f, "a number from {} to {high}", self.low),
            false => write!(f, "a number above {}, at most {high}", self.low),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(low, high) => write!(f, "a whole number from {low} to {high}"),
            Self::Seed => write!(f, "a whole number from 0 to {}", u64::MAX),
            Self::Real(range) => range.fmt(f),
            Self::Rate(range) => write!(f, "{range}, or auto"),
            Self::Switch => f.write_str("true or false"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Layers => write!(f, "layers from 0 to {}", MOST_LAYERS - 1),
            Self::LayerChoice => write!(f, "layers from 0 to {}, auto or sweep", MOST_LAYERS - 1),
            Self::File => f.write_str("the path of a file"),
        }
    }
}

impl Kind {
    /// The value of a flag; the error names what is accepted.
    pub fn of_flag(&self, text: &str) -> Result<Value, String> {
        let value = match self {
            Self::Count(low, high) => {
                let is_in_range = |number: &usize| (low..=high).contains(&number);
                text.parse().ok().filter(is_in_range).map(Value::Count)
            }
            Self::Seed => text.parse().ok().map(Value::Seed),
            Self::Rate(_) if text == "auto" => Some(Value::Auto),
            Self::Real(range) | Self::Rate(range) => {
                text.parse().ok().filter(|number| range.contains(*number)).map(Value::Real)
            }
            Self::Switch => text.parse().ok().map(Value::Switch),
            Self::Word(words) => words.iter().find(|word| **word == text).map(|w| Value::Word(w)),
            Self::LayerChoice if text == "auto" => Some(Value::Auto),
            Self::LayerChoice if text == "sweep" => Some(Value::Sweep),
            Self::Layers | Self::LayerChoice => layers_of_flag(text).map(Value::Layers),
            Self::File => Some(Value::File(text.into())),
        };
        let example = match self {
            Self::Layers | Self::LayerChoice => ", such as 6, 4-8 or 4,6",
            _ => "",
        };
        value.ok_or_else(|| format!("expected {self}{example}"))
    }

    /// The value of `key` in a table, if it is there and of this kind.
    pub(in crate::spec) fn read(
        &self,
        key: &'static str,
        fields: &mut Fields<'_>,
        folder: &Path,
        files: FileCheck,
    ) -> Option<Value> {
        match self {
            Self::Switch => fields.flag(key).map(Value::Switch),
            Self::Word(words) => {
                fields.text(key).and_then(|text| word(&text, words, fields.problems()))
            }
            Self::File => {
                let path = fields.text(key)?;
                Some(Value::File(files.locate(&path, folder, fields.problems())))
            }
            Self::Layers | Self::LayerChoice => {
                let is_choice = *self == Self::LayerChoice;
                fields.value(key).and_then(|value| layers(value, is_choice, fields.problems()))
            }
            Self::Count(..) | Self::Seed | Self::Real(_) | Self::Rate(_) => {
                let value = fields.value(key)?;
                self.number(key, value, fields)
            }
        }
    }

    fn number(
        &self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        fields: &Fields<'_>,
    ) -> Option<Value> {
        let is_whole = matches!(self, Self::Count(..) | Self::Seed);
        let text = match value.get_ref() {
            DeValue::Integer(_) if is_whole => whole(value).map(|number| number.to_string()),
            DeValue::Integer(_) => whole(value).map(|number| (number as f64).to_string()),
            DeValue::Float(float) if !is_whole => Some(float.as_str().to_owned()),
            DeValue::String(word) if word == "auto" && matches!(self, Self::Rate(_)) => {
                return Some(Value::Auto);
            }
            _ => return fields.wrong_type(key, value, &self.to_string()),
        };
        let number = text.and_then(|text| self.of_flag(&text).ok());
        if number.is_none() {
            let problem = Problem::new(format!("`{key}` is out of range"));
            fields.problems().push(problem.label(&value.span(), format!("expected {self}")));
        }
        number
    }
}

/// A whole number from 0, if `value` is one.
fn whole(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn word(text: &Text, words: &'static [&'static str], problems: &Problems) -> Option<Value> {
    if let Some(word) = words.iter().find(|word| **word == text.value) {
        return Some(Value::Word(word));
    }
    let near = nearest(&text.value, words);
    let label = near.map_or("not known".to_owned(), |near| format!("did you mean \"{near}\"?"));
    let problem = Problem::new(format!("unknown {} \"{}\"", text.key, text.value));
    let help = format!("expected {}", Kind::Word(words));
    problems.push(problem.label(&text.span, label).help(help));
    None
}

/// Numbers and ranges such as `4-8`, separated by commas.
fn layers_of_flag(text: &str) -> Option<Vec<usize>> {
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let mut layers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= MOST_LAYERS {
            return None;
        }
        layers.extend(first..=last);
    }
    layers.sort_unstable();
    layers.dedup();
    Some(layers)
}

fn layers(value: &Spanned<DeValue<'_>>, is_choice: bool, problems: &Problems) -> Option<Value> {
    let wrong = |message: &str, help: &str| {
        problems.push(Problem::new(message).label(&value.span(), "this").help(help));
        None
    };
    let items = match value.get_ref() {
        DeValue::String(word) if word == "auto" && is_choice => return Some(Value::Auto),
        DeValue::String(word) if word == "sweep" && is_choice => return Some(Value::Sweep),
        DeValue::Array(items) => items,
        DeValue::Integer(number) => {
            return wrong("`layers` is a list", &format!("layers = [{number}]"));
        }
        _ if is_choice => {
            let message = "`layers` is neither a list nor \"auto\" or \"sweep\"";
            return wrong(message, "layers = \"auto\", \"sweep\", or [3]");
        }
        _ => return wrong("`layers` is a list", "for example: layers = [3, 4]"),
    };
    let mut layers = Vec::new();
    for item in items.iter() {
        match whole(item).filter(|layer| *layer < MOST_LAYERS as u64) {
            Some(layer) => layers.push(layer as usize),
            None => {
                return wrong("a layer is a whole number, counted from 0", "for example: [3]");
            }
        }
    }
    let written = layers.len();
    layers.sort_unstable();
    layers.dedup();
    match layers.len() {
        0 => wrong("`layers` is empty", "name a layer, or leave `layers` out"),
        n if n < written => {
            wrong("`layers` names a layer twice", "each layer once, such as layers = [4, 5, 6]")
        }
        _ => Some(Value::Layers(layers)),
    }
}
