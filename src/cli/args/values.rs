//! How the values of flags are read.

use rescribe::spec::{ForgetMethod, MOST_LAYERS, Method};

/// A whole number from 1.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number from 1".into()),
        Ok(number) => Ok(number),
    }
}

/// A number of bytes, with K, M or G for powers of 1024.
pub fn bytes(text: &str) -> Result<u64, String> {
    let form = || "expected a size such as 2G, 1.5G or 800M".to_owned();
    let (number, power) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: f64 = number.trim().parse().map_err(|_| form())?;
    if !number.is_finite() || number <= 0. {
        return Err(form());
    }
    Ok((number * (1u64 << power) as f64) as u64)
}

/// A way to forget passages.
pub fn forget_method(name: &str) -> Result<ForgetMethod, String> {
    ForgetMethod::of_name(name).ok_or_else(|| {
        "expected gradient-difference, gradient-ascent, wga, npo, simnpo or idk".into()
    })
}

/// A way to write facts.
pub fn method(name: &str) -> Result<Method, String> {
    Method::of_name(name).ok_or_else(|| "expected rome, emmet, memit or alphaedit".into())
}

/// Layers as a flag names them; ascending, without repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers(pub Vec<usize>);

/// Numbers and ranges such as `4-8`, separated by commas.
pub fn layers(text: &str) -> Result<Layers, String> {
    let form = || "expected layers such as 6, 4-8 or 4,6".to_owned();
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| form());
    let mut layers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last > MOST_LAYERS {
            return Err(form());
        }
        layers.extend(first..=last);
    }
    layers.sort_unstable();
    layers.dedup();
    Ok(Layers(layers))
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
        for wrong in ["", "G", "two", "-1G", "0", "1T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn layers_are_numbers_and_ranges() {
        for (text, expected) in
            [("6", vec![6]), ("4-8", vec![4, 5, 6, 7, 8]), ("7, 4-5,4", vec![4, 5, 7])]
        {
            assert_eq!(layers(text), Ok(Layers(expected)), "{text}");
        }
        for wrong in ["", "8-4", "4-", "four", "-1", "0-99999999"] {
            assert!(layers(wrong).is_err(), "{wrong}");
        }
    }
}
