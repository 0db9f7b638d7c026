//! Parsers for the values of flags that are not settings of a spec.

use rescribe::spec::{ForgetMethod, Kind, Reals, Value};

/// A whole number between two bounds, both included.
pub fn count<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    match Kind::Count(LOW, HIGH).of_flag(text)? {
        Value::Count(number) => Ok(number),
        other => unreachable!("{other:?} of a count"),
    }
}

/// A real number in `range`.
fn real(range: Reals, text: &str) -> Result<f64, String> {
    match Kind::Real(range).of_flag(text)? {
        Value::Real(number) => Ok(number),
        other => unreachable!("{other:?} of a real number"),
    }
}

/// A temperature to sample at; far below the least, logits divided by it are no numbers.
pub fn temperature(text: &str) -> Result<f64, String> {
    const LEAST: f64 = 0.001;
    match real(Reals::above_zero(100.), text)? {
        small if small < LEAST => Err(format!(
            "expected a number from {LEAST} to 100; without a temperature, the most probable token \
             is taken"
        )),
        temperature => Ok(temperature),
    }
}

/// A width of noise, as a multiple of the spread of what it is added to.
pub fn noise(text: &str) -> Result<f64, String> {
    real(Reals::above_zero(1e3), text)
}

/// A duration.
pub fn seconds(text: &str) -> Result<f64, String> {
    real(Reals::above_zero(1e12), text)
}

/// A time such as `90s`, `10m` or `2h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    /// A year; a longer time is a mistake.
    const MOST: f64 = 366. * 24. * 3600.;
    let form = || "expected a time such as 90s, 10m or 2h".to_owned();
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1.),
        Some((at, 'm')) => (&text[..at], 60.),
        Some((at, 'h')) => (&text[..at], 3600.),
        _ => (text, 1.),
    };
    let seconds = unit * number.trim().parse::<f64>().map_err(|_| form())?;
    match seconds > 0. && seconds <= MOST {
        true => Ok(std::time::Duration::from_secs_f64(seconds)),
        false => Err(form()),
    }
}

/// A number of bytes, with K, M or G for powers of 1024.
pub fn bytes(text: &str) -> Result<u64, String> {
    /// More than any machine has; a larger number is a mistake.
    const MOST: f64 = (1u64 << 50) as f64;
    let form = || "expected a size up to 1048576G, such as 2G, 1.5G or 800M".to_owned();
    let (number, power) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: f64 = number.trim().parse().map_err(|_| form())?;
    let bytes = number * (1u64 << power) as f64;
    match bytes > 0. && bytes <= MOST {
        true => Ok(bytes as u64),
        false => Err(form()),
    }
}

/// A way to forget passages.
pub fn forget_method(name: &str) -> Result<ForgetMethod, String> {
    let expected = || format!("expected {}", Kind::Word(ForgetMethod::WORDS));
    ForgetMethod::of_name(name).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in
            [("2G", 2 << 30), ("1.5g", 3 << 29), ("800M", 800 << 20), ("64k", 64 << 10), ("9", 9)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for wrong in ["", "G", "two", "-1G", "0", "1T", "nan", "inf", "1e30"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_end_where_their_range_does() {
        assert_eq!(count::<1, 1024>("1024"), Ok(1024));
        for wrong in ["0", "1025", "-1", "1.5", "18446744073709551616", ""] {
            let expected = Err("expected a whole number from 1 to 1024".into());
            assert_eq!(count::<1, 1024>(wrong), expected, "{wrong}");
        }
    }
}
