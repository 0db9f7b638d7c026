//! Numbers of a TOML table, with the range that each may have.

use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::DeValue;

use super::error::Problem;
use super::table::Fields;

/// What a real number must satisfy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    Positive,
    NotNegative,
}

impl Sign {
    fn holds(self, number: f64) -> bool {
        number.is_finite()
            && match self {
                Self::Positive => number > 0.0,
                Self::NotNegative => number >= 0.0,
            }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Positive => "a number above 0",
            Self::NotNegative => "a number of at least 0",
        })
    }
}

impl Fields<'_> {
    /// A whole number in `range`.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let value = self.value(key)?;
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(_) = value.get_ref() else {
            return self.wrong_type(key, value, &expected);
        };
        let number = whole(value).and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => self.out_of_range(key, value, &expected),
        }
    }

    /// Any whole number from 0 that 64 bits hold.
    pub(super) fn seed(&mut self, key: &'static str) -> Option<u64> {
        let value = self.value(key)?;
        let expected = "a whole number from 0 to 18446744073709551615";
        let DeValue::Integer(_) = value.get_ref() else {
            return self.wrong_type(key, value, expected);
        };
        match whole(value) {
            Some(seed) => Some(seed),
            None => self.out_of_range(key, value, expected),
        }
    }

    /// A real number; a whole one will do.
    pub(super) fn real(&mut self, key: &'static str, sign: Sign) -> Option<f64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => whole(value).map(|number| number as f64),
            _ => return self.wrong_type(key, value, &sign.to_string()),
        };
        match number.filter(|number| sign.holds(*number)) {
            Some(number) => Some(number),
            None => self.out_of_range(key, value, &sign.to_string()),
        }
    }

    fn out_of_range<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) -> Option<T> {
        let problem = Problem::new(format!("`{key}` is out of range"))
            .label(&value.span(), format!("expected {expected}"));
        self.problems().push(problem);
        None
    }
}

/// A whole number from 0, if `value` is one.
pub(super) fn whole(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let integer = value.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
