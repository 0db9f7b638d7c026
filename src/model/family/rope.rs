//! Rotary frequencies from `config.json`, in both of its dialects, with every known scaling.
//!
//! Transformers 4 writes `rope_theta` and `rope_scaling`; transformers 5 writes `rope_parameters`
//! with both, for the whole model or by type of layer. Plain frequencies are θ^(−2i/d) for the d
//! numbers of a head that rotate.

use std::fmt::Display;

use serde_json::Value;

use crate::model::config::{ConfigError, ConfigReader, unsupported};
use crate::ops::{Pairing, Rotation};

/// The layers that see everything, as `rope_parameters` calls them.
pub(super) const FULL: &str = "full_attention";
/// The layers with a window.
pub(super) const SLIDING: &str = "sliding_attention";

/// What the encoding has to fit.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Width of a head.
    pub(super) width: usize,
    /// Longest sequence.
    pub(super) context: usize,
}

type Result<T> = std::result::Result<T, ConfigError>;

/// The encoding of layers of one type, with θ = 10,000 unless the config states another.
pub(super) fn read(config: &mut ConfigReader<'_>, layers: &str, head: Head) -> Result<Rotation> {
    read_with(config, layers, head, Usual { theta: 10_000., fraction: 1. })
}

/// What a family means where its config is silent.
#[derive(Clone, Copy)]
pub(super) struct Usual {
    /// The base of the frequencies.
    pub(super) theta: f64,
    /// The share of a head that rotates.
    pub(super) fraction: f64,
}

/// The encoding of layers with a window, whose scaling the older dialect does not mean.
pub(super) fn read_local(
    config: &mut ConfigReader<'_>,
    head: Head,
    theta: Option<f64>,
) -> Result<Rotation> {
    let parameters = config.optional("rope_parameters").and_then(|all| all.get(SLIDING));
    let stated = config.number("rope_theta", 10_000.)?;
    let own = parameters.and_then(|own| own.get("rope_theta")).and_then(Value::as_f64);
    let theta = own.or(theta).unwrap_or(stated);
    let context = head.context as f64;
    let plain = Frequencies { theta, rotated: head.width, context, original: None };
    let scaled = match parameters {
        None => plain.unscaled(),
        Some(scaling) => plain.scaled(scaling)?,
    };
    Ok(scaled.rotation(head.width))
}

/// As [`read`], with other defaults.
pub(super) fn read_with(
    config: &mut ConfigReader<'_>,
    layers: &str,
    head: Head,
    usual: Usual,
) -> Result<Rotation> {
    let stated = ["rope_theta", "partial_rotary_factor"].map(|key| config.optional(key).is_some());
    let theta = config.number("rope_theta", usual.theta)?;
    let fraction = config.number("partial_rotary_factor", usual.fraction)?;
    let parameters = config.optional("rope_parameters");
    let parameters = parameters.and_then(|all| all.get(layers).or(Some(all)));
    let older = config.optional("rope_scaling");
    let scaling = older.or(parameters);
    let own = |key: &str| parameters.and_then(|own| own.get(key)).and_then(Value::as_f64);
    let both = [("rope_theta", theta), ("partial_rotary_factor", fraction)];
    for ((key, older), is_stated) in both.into_iter().zip(stated) {
        if let Some(newer) = own(key).filter(|newer| is_stated && *newer != older) {
            return Err(twice(key, older, newer));
        }
    }
    let kinds = older.and_then(kind).zip(parameters.and_then(kind));
    if let Some((older, newer)) = kinds.filter(|(older, newer)| older != newer) {
        return Err(twice("rope_scaling", older, newer));
    }
    let frequencies = Frequencies {
        theta: own("rope_theta").unwrap_or(theta),
        rotated: (head.width as f64 * own("partial_rotary_factor").unwrap_or(fraction)) as usize,
        context: head.context as f64,
        original: config.optional_size("original_max_position_embeddings")?,
    };
    if !frequencies.rotated.is_multiple_of(2) {
        let message = match frequencies.rotated == head.width {
            true => format!("head_dim {} is odd", head.width),
            false => format!("{} numbers of a head rotate, an odd number", frequencies.rotated),
        };
        return Err(ConfigError::Inconsistent(message));
    }
    let scaled = match scaling {
        None => frequencies.unscaled(),
        Some(scaling) => frequencies.scaled(scaling)?,
    };
    Ok(scaled.rotation(head.width))
}

/// Two dialects that say different things: programs differ in which one they follow.
fn twice(key: &str, older: impl Display, newer: impl Display) -> ConfigError {
    let message = format!(
        "{key} says {older} and rope_parameters {newer}: remove the one that the model was not \
         trained with"
    );
    ConfigError::Inconsistent(message)
}

/// The kind of a scaling, under either of its names.
fn kind(scaling: &Value) -> Option<&str> {
    scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(Value::as_str)
}

/// What all scalings start from.
struct Frequencies {
    theta: f64,
    rotated: usize,
    context: f64,
    /// The context before it was extended, where the config states it outside of the scaling.
    original: Option<usize>,
}

/// Scaled frequencies, those beyond a length, and the factor of the rotated numbers.
struct Scaled {
    frequencies: Vec<f64>,
    beyond: Option<(usize, Vec<f64>)>,
    magnitude: f64,
}

impl Scaled {
    fn rotation(self, head_dim: usize) -> Rotation {
        let narrow = |wide: Vec<f64>| wide.into_iter().map(|f| f as f32).collect();
        Rotation {
            inverse_frequencies: narrow(self.frequencies),
            beyond: self.beyond.map(|(length, wide)| (length, narrow(wide))),
            head_dim,
            pairing: Pairing::Halves,
            magnitude: self.magnitude as f32,
        }
    }
}

impl From<Vec<f64>> for Scaled {
    fn from(frequencies: Vec<f64>) -> Self {
        Self { frequencies, beyond: None, magnitude: 1. }
    }
}

impl Frequencies {
    fn plain(&self) -> impl Iterator<Item = f64> + '_ {
        let rotated = self.rotated as f64;
        (0..self.rotated / 2).map(move |i| self.theta.powf(-2. * i as f64 / rotated))
    }

    fn unscaled(&self) -> Scaled {
        self.plain().collect::<Vec<_>>().into()
    }

    fn scaled(&self, scaling: &Value) -> Result<Scaled> {
        let kind = kind(scaling);
        match kind {
            // Dynamic frequencies are the plain ones up to the model's context, which is the limit.
            Some("default" | "dynamic") | None => Ok(self.unscaled()),
            Some("linear") => {
                let factor = number(scaling, "factor")?;
                Ok(self.plain().map(|f| f / factor).collect::<Vec<_>>().into())
            }
            Some("llama3") => {
                let scaled = Llama3 {
                    factor: number(scaling, "factor")?,
                    low: number(scaling, "low_freq_factor")?,
                    high: number(scaling, "high_freq_factor")?,
                    context: number(scaling, "original_max_position_embeddings")?,
                };
                Ok(self.plain().map(|f| scaled.apply(f)).collect::<Vec<_>>().into())
            }
            Some("longrope" | "su") => self.longrope(scaling),
            Some("yarn") if scaling.get("long_factor").is_some() => self.longrope(scaling),
            Some("yarn") => self.yarn(scaling),
            Some(_) => {
                let known = "type default, linear, dynamic, llama3, yarn or longrope";
                Err(unsupported("rope_scaling", scaling, Some(known)))
            }
        }
    }

    /// Short waves are kept, long ones stretched by `factor`, those between blended (YaRN, arXiv
    /// 2309.00071). The bounds are the waves that turn `beta_fast` and `beta_slow` times within the
    /// original context.
    fn yarn(&self, scaling: &Value) -> Result<Scaled> {
        let optional = |key: &str| scaling.get(key).and_then(Value::as_f64).filter(|it| *it != 0.);
        let factor = number(scaling, "factor")?;
        let original = optional("original_max_position_embeddings");
        let original = original.or(self.original.map(|it| it as f64)).unwrap_or(self.context);
        let turning = |turns: f64| {
            let waves = (original / (turns * 2. * std::f64::consts::PI)).ln();
            self.rotated as f64 * waves / (2. * self.theta.ln())
        };
        let mut low = turning(optional("beta_fast").unwrap_or(32.));
        let mut high = turning(optional("beta_slow").unwrap_or(1.));
        if scaling.get("truncate").and_then(Value::as_bool).unwrap_or(true) {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.), high.min(self.rotated as f64 - 1.));
        let width = if low == high { 0.001 } else { high - low };
        let blended = self.plain().enumerate().map(|(i, f)| {
            let stretched = ((i as f64 - low) / width).clamp(0., 1.);
            f / factor * stretched + f * (1. - stretched)
        });
        let grown = |scale: f64| if factor <= 1. { 1. } else { 0.1 * scale * factor.ln() + 1. };
        let both = optional("mscale").zip(optional("mscale_all_dim"));
        let inferred = both.map_or_else(|| grown(1.), |(own, all)| grown(own) / grown(all));
        let magnitude = optional("attention_factor").unwrap_or(inferred);
        Ok(Scaled { frequencies: blended.collect(), beyond: None, magnitude })
    }

    /// Each frequency has its own factor, another one for sequences longer than the original
    /// context (LongRoPE, arXiv 2402.13753).
    fn longrope(&self, scaling: &Value) -> Result<Scaled> {
        let factors = |key: &str| {
            let all = scaling.get(key).and_then(Value::as_array);
            let all = all.map(|all| all.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
            let fits = all.filter(|all| all.len() == self.rotated / 2);
            let expected = "a number for each rotated pair";
            fits.ok_or_else(|| ConfigError::Key { key: format!("rope_scaling.{key}"), expected })
        };
        let divided = |factors: Vec<f64>| self.plain().zip(factors).map(|(f, by)| f / by).collect();
        let inner = scaling.get("original_max_position_embeddings").and_then(Value::as_u64);
        let stated = self.original.or(inner.map(|inner| inner as usize));
        let original = stated.map_or(self.context, |stated| stated as f64);
        let factor = match stated {
            Some(_) => self.context / original,
            None => number(scaling, "factor")?,
        };
        let inferred = if factor <= 1. { 1. } else { (1. + factor.ln() / original.ln()).sqrt() };
        let magnitude = scaling.get("attention_factor").and_then(Value::as_f64).unwrap_or(inferred);
        Ok(Scaled {
            frequencies: divided(factors("short_factor")?),
            beyond: Some((original as usize, divided(factors("long_factor")?))),
            magnitude,
        })
    }
}

fn number(scaling: &Value, key: &str) -> Result<f64> {
    let missing = || ConfigError::Key { key: format!("rope_scaling.{key}"), expected: "a number" };
    scaling.get(key).and_then(Value::as_f64).ok_or_else(missing)
}

/// Llama 3.1's scaling: long waves are stretched by `factor`, short ones kept, those between
/// blended.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    context: f64,
}

impl Llama3 {
    fn apply(&self, frequency: f64) -> f64 {
        let wavelength = 2. * std::f64::consts::PI / frequency;
        if wavelength < self.context / self.high {
            return frequency;
        }
        if wavelength > self.context / self.low {
            return frequency / self.factor;
        }
        let blend = (self.context / wavelength - self.low) / (self.high - self.low);
        (1. - blend) * frequency / self.factor + blend * frequency
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rotation(config: Value) -> Result<Rotation> {
        let config = config.as_object().expect("an object").clone();
        read(&mut ConfigReader::new(&config), FULL, Head { width: 8, context: 64 })
    }

    #[test]
    fn both_dialects_say_the_same() {
        let scaling = json!({"rope_type": "linear", "factor": 4.0});
        let old = json!({"rope_theta": 500.0, "rope_scaling": scaling});
        let flat = json!({"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0});
        let nested = json!({"full_attention": flat, "sliding_attention": {"rope_theta": 10.0}});
        let expected = rotation(old).expect("understood");
        assert_eq!(expected.inverse_frequencies[0], 0.25);
        for new in [flat, nested] {
            let found = rotation(json!({ "rope_parameters": new })).expect("understood");
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn dialects_that_say_different_things_are_refused() {
        let linear = json!({"type": "linear", "factor": 4.0});
        let rows = [
            (json!({"rope_theta": 10, "rope_parameters": {"rope_theta": 20}}), "says 10 and"),
            (
                json!({"rope_scaling": linear, "rope_parameters": {"rope_type": "default"}}),
                "rope_scaling says linear and rope_parameters default",
            ),
        ];
        for (config, expected) in rows {
            let error = rotation(config).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let alike = json!({"rope_theta": 10.0, "rope_parameters": {"rope_theta": 10}});
        assert!(rotation(alike).is_ok());
        let silent = json!({"rope_scaling": linear, "rope_parameters": {"rope_theta": 1e4}});
        assert!(rotation(silent).is_ok());
    }

    #[test]
    fn a_part_of_a_head_rotates_by_frequencies_of_its_own_width() {
        let found = rotation(json!({"partial_rotary_factor": 0.5})).expect("understood");
        assert_eq!(found.inverse_frequencies, [1., 0.01]);
        assert_eq!(found.head_dim, 8);
        let error = rotation(json!({"partial_rotary_factor": 0.4})).expect_err("odd").to_string();
        assert!(error.contains("3 numbers of a head rotate"), "{error}");
    }

    #[test]
    fn longrope_has_other_factors_beyond_the_original_context() {
        let scaling = json!({
            "type": "longrope", "short_factor": [1.0, 1.0, 1.0, 2.0],
            "long_factor": [2.0, 2.0, 2.0, 4.0],
        });
        let config = json!({"rope_scaling": scaling, "original_max_position_embeddings": 16});
        let found = rotation(config).expect("understood");
        let (length, long) = found.beyond.expect("there are long factors");
        assert_eq!((length, long[0], long[3]), (16, 0.5, 0.001 / 4.));
        assert_eq!(found.inverse_frequencies[3], 0.001 / 2.);
        let expected = (1. + 4f64.ln() / 16f64.ln()).sqrt() as f32;
        assert_eq!(found.magnitude, expected);
    }
}
