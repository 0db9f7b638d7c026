//! The keys of a GGUF file, asked for by name and type.

use std::collections::{BTreeMap, btree_map::Entry};

use super::error::GgufFault;

/// The values of a file by key; texts and lists borrow from its bytes.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a>(BTreeMap<&'a str, Value<'a>>);

/// One value.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Scalar(Number),
    Text(&'a str),
    List(List<'a>),
}

/// The values of one list, all of one type.
#[derive(Debug)]
pub(super) enum List<'a> {
    /// Little-endian numbers, as they lie in the file.
    Scalars(Scalar, &'a [u8]),
    Texts(Vec<&'a str>),
    /// A list of lists: no key of a supported architecture has one, so its content was only skipped.
    Nested,
}

/// The type of a text, as the format numbers it.
pub(super) const STRING: u32 = 8;
/// The type of a list.
pub(super) const ARRAY: u32 = 9;

/// The types of numbers, as the format numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

/// A number without its width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    /// F32 is widened through its shortest decimal form, so that 1e-5 stays 1e-5.
    Real(f64),
    Bool(bool),
}

impl Number {
    fn integer(self) -> Option<i128> {
        if let Number::Integer(value) = self { Some(value) } else { None }
    }

    fn flag(self) -> Option<bool> {
        if let Number::Bool(value) = self { Some(value) } else { None }
    }
}

impl Scalar {
    const ALL: [Scalar; 11] = [
        Scalar::U8,
        Scalar::I8,
        Scalar::U16,
        Scalar::I16,
        Scalar::U32,
        Scalar::I32,
        Scalar::F32,
        Scalar::Bool,
        Scalar::U64,
        Scalar::I64,
        Scalar::F64,
    ];

    /// The type with this number, if it is one of numbers.
    pub(super) fn numbered(number: u32) -> Option<Scalar> {
        Self::ALL.into_iter().find(|scalar| scalar.number() == number)
    }

    /// Its number in the format.
    pub(super) fn number(self) -> u32 {
        self as u32
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> u64 {
        match self {
            Scalar::U8 | Scalar::I8 | Scalar::Bool => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }

    /// The number in exactly [`Scalar::size`] bytes.
    pub(super) fn read(self, bytes: &[u8]) -> Number {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(wide);
        match self {
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 => Number::Integer(word.into()),
            Scalar::I8 => Number::Integer((word as i8).into()),
            Scalar::I16 => Number::Integer((word as i16).into()),
            Scalar::I32 => Number::Integer((word as i32).into()),
            Scalar::I64 => Number::Integer((word as i64).into()),
            Scalar::F32 => Number::Real(widen(f32::from_bits(word as u32))),
            Scalar::F64 => Number::Real(f64::from_bits(word)),
            Scalar::Bool => Number::Bool(word != 0),
        }
    }
}

fn widen(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

impl<'a> Metadata<'a> {
    /// Adds a key; a second value for it is an error.
    pub(super) fn insert(&mut self, key: &'a str, value: Value<'a>) -> Result<(), GgufFault> {
        match self.0.entry(key) {
            Entry::Vacant(place) => {
                place.insert(value);
                Ok(())
            }
            Entry::Occupied(_) => {
                Err(GgufFault::invalid(format!("key {key:?}"), "given twice", "once"))
            }
        }
    }

    /// All keys, sorted.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied()
    }

    /// A value in a few words, for messages.
    pub(super) fn describe(&self, key: &str) -> String {
        match self.0.get(key) {
            None => "missing".to_owned(),
            Some(Value::Text(text)) => format!("{text:?}"),
            Some(Value::List(_)) => "a list".to_owned(),
            Some(Value::Scalar(Number::Integer(value))) => value.to_string(),
            Some(Value::Scalar(Number::Real(value))) => value.to_string(),
            Some(Value::Scalar(Number::Bool(value))) => value.to_string(),
        }
    }

    fn wrong<T>(&self, key: &str, expected: &str) -> Result<Option<T>, GgufFault> {
        Err(GgufFault::invalid(format!("key {key:?}"), self.describe(key), expected))
    }

    pub(super) fn unsigned(&self, key: &str) -> Result<Option<u64>, GgufFault> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Scalar(Number::Integer(value))) if u64::try_from(*value).is_ok() => {
                Ok(Some(*value as u64))
            }
            Some(_) => self.wrong(key, "an integer from 0"),
        }
    }

    /// A finite number.
    pub(super) fn real(&self, key: &str) -> Result<Option<f64>, GgufFault> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Scalar(Number::Real(value))) if value.is_finite() => Ok(Some(*value)),
            Some(Value::Scalar(Number::Integer(value))) => Ok(Some(*value as f64)),
            Some(_) => self.wrong(key, "a finite number"),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, GgufFault> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Scalar(Number::Bool(value))) => Ok(Some(*value)),
            Some(_) => self.wrong(key, "true or false"),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, GgufFault> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => self.wrong(key, "a text"),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&[&'a str]>, GgufFault> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::List(List::Texts(texts))) => Ok(Some(texts)),
            Some(_) => self.wrong(key, "a list of texts"),
        }
    }

    /// A list of exactly `count` flags.
    pub(super) fn flags(&self, key: &str, count: usize) -> Result<Option<Vec<bool>>, GgufFault> {
        const EXPECTED: &str = "a list of true or false";
        let Some(numbers) = self.numbers(key, count, EXPECTED)? else { return Ok(None) };
        let flags: Option<Vec<bool>> = numbers.into_iter().map(Number::flag).collect();
        flags.map_or_else(|| self.wrong(key, EXPECTED), |list| Ok(Some(list)))
    }

    /// A list of exactly `count` integers.
    pub(super) fn integers(&self, key: &str, count: usize) -> Result<Option<Vec<i128>>, GgufFault> {
        const EXPECTED: &str = "a list of integers";
        let Some(numbers) = self.numbers(key, count, EXPECTED)? else { return Ok(None) };
        let integers: Option<Vec<i128>> = numbers.into_iter().map(Number::integer).collect();
        integers.map_or_else(|| self.wrong(key, EXPECTED), |list| Ok(Some(list)))
    }

    /// A list of exactly `count` finite numbers.
    pub(super) fn reals(&self, key: &str, count: usize) -> Result<Option<Vec<f64>>, GgufFault> {
        const EXPECTED: &str = "a list of finite numbers";
        let Some(numbers) = self.numbers(key, count, EXPECTED)? else { return Ok(None) };
        let reals: Vec<f64> = numbers.into_iter().map(Number::as_real).collect();
        if reals.iter().any(|real| !real.is_finite()) {
            return self.wrong(key, EXPECTED);
        }
        Ok(Some(reals))
    }

    fn numbers(
        &self,
        key: &str,
        count: usize,
        expected: &str,
    ) -> Result<Option<Vec<Number>>, GgufFault> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let Value::List(List::Scalars(scalar, bytes)) = value else {
            return self.wrong(key, expected);
        };
        let numbers = bytes.chunks_exact(scalar.size() as usize);
        if numbers.len() != count {
            let found = format!("a list of {}", numbers.len());
            let expected = format!("{count} values");
            return Err(GgufFault::invalid(format!("key {key:?}"), found, expected));
        }
        Ok(Some(numbers.map(|bytes| scalar.read(bytes)).collect()))
    }
}

impl Number {
    fn as_real(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Real(value) => value,
            Number::Bool(value) => f64::from(u8::from(value)),
        }
    }
}

/// The full name of a key of an architecture.
pub(super) fn key_of(architecture: &str, name: &str) -> String {
    format!("{architecture}.{name}")
}

/// The value, or an error that names the key.
pub(super) fn required<T>(key: &str, value: Option<T>) -> Result<T, GgufFault> {
    value.ok_or_else(|| GgufFault::MissingKey(key.to_owned()))
}
