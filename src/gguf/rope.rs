//! The scaling of rotary positions: what the file declares -> `rope_scaling` of `config.json`.

use serde_json::{Value, json};

use super::{
    convert,
    error::GgufFault,
    family::{Described, LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS},
    header::GgufHeader,
    metadata::required,
};

/// Relative difference up to which stored f32 factors count as those of the formula.
const FACTOR_TOLERANCE: f64 = 1e-5;
/// All published models of Llama 3.1 and later share these three numbers.
const LOW_FREQUENCY_FACTOR: f64 = 1.0;
const HIGH_FREQUENCY_FACTOR: f64 = 4.0;
const ORIGINAL_CONTEXT: u32 = 8192;

/// `null`, `linear`, `yarn`, `longrope` or `llama3`.
pub(super) fn scaling(
    header: &GgufHeader<'_>,
    model: &Described<'_>,
    theta: f64,
) -> Result<Value, GgufFault> {
    let declared = declared(header, model)?;
    let factors = |name: &str| match header.tensors.get(name) {
        Some(entry) => convert::dequantise(name, entry.kind, header.data(entry)).map(Some),
        None => Ok(None),
    };
    let found = match (factors(ROPE_FACTORS)?, factors(LONG_FACTORS)?, factors(SHORT_FACTORS)?) {
        (Some(stored), ..) => llama3(&stored, theta)?,
        (None, Some(long), Some(short)) => {
            json!({ "rope_type": "longrope", "long_factor": long, "short_factor": short })
        }
        (None, None, None) => return Ok(declared),
        (None, long, _) => {
            let missing = if long.is_some() { SHORT_FACTORS } else { LONG_FACTORS };
            return Err(GgufFault::MissingTensor(missing.to_owned()));
        }
    };
    if !declared.is_null() {
        let key = model.family.key("rope.scaling.type");
        return Err(model.family.unsupported(&header.metadata, key));
    }
    Ok(found)
}

/// The context of a model before it was extended, where the file states it.
pub(super) fn original_context(
    header: &GgufHeader<'_>,
    model: &Described<'_>,
) -> Result<Option<u64>, GgufFault> {
    header.metadata.unsigned(&model.family.key("rope.scaling.original_context_length"))
}

/// The scaling that the keys declare.
fn declared(header: &GgufHeader<'_>, model: &Described<'_>) -> Result<Value, GgufFault> {
    let (metadata, family) = (&header.metadata, model.family);
    let kind = family.key("rope.scaling.type");
    let old_factor = metadata.real(&family.key("rope.scale_linear"))?.filter(|scale| *scale != 1.0);
    match (metadata.text(&kind)?, old_factor) {
        (None | Some("none" | "longrope"), None) => Ok(Value::Null),
        (None, Some(factor)) => Ok(json!({ "rope_type": "linear", "factor": factor })),
        (Some("linear"), _) => {
            let key = family.key("rope.scaling.factor");
            let factor = required(&key, metadata.real(&key)?)?;
            Ok(json!({ "rope_type": "linear", "factor": factor }))
        }
        (Some("yarn"), None) => {
            let key = family.key("rope.scaling.factor");
            let factor = required(&key, metadata.real(&key)?)?;
            let original = original_context(header, model)?;
            Ok(json!({
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": original.unwrap_or(model.sizes.context as u64),
            }))
        }
        _ => Err(family.unsupported(metadata, kind)),
    }
}

/// The scaling whose factors the file holds, without the numbers that they were computed from.
fn llama3(stored: &[f32], theta: f64) -> Result<Value, GgufFault> {
    let factor = f64::from(stored.last().copied().unwrap_or(1.0));
    for (index, &found) in stored.iter().enumerate() {
        let expected = llama3_factor(theta.powf(index as f64 / stored.len() as f64), factor);
        let difference = (f64::from(found) - expected).abs();
        // A difference that is not a number is no match either.
        if difference.is_nan() || difference > FACTOR_TOLERANCE * expected.abs() {
            let what = format!("element {index} of tensor {ROPE_FACTORS:?}");
            let expected = format!("{expected}, as in Llama 3.1's scaling by {factor}");
            return Err(GgufFault::invalid(what, found, expected));
        }
    }
    Ok(json!({
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": LOW_FREQUENCY_FACTOR,
        "high_freq_factor": HIGH_FREQUENCY_FACTOR,
        "original_max_position_embeddings": ORIGINAL_CONTEXT,
    }))
}

/// By how much Llama 3.1 slows a rotation down: 1 for fast ones, `factor` for slow ones, smooth
/// between.
///
/// `inverse` is the inverse frequency, in positions a radian.
fn llama3_factor(inverse: f64, factor: f64) -> f64 {
    let context = f64::from(ORIGINAL_CONTEXT);
    let wavelength = 2.0 * std::f64::consts::PI * inverse;
    if wavelength < context / HIGH_FREQUENCY_FACTOR {
        return 1.0;
    }
    if wavelength > context / LOW_FREQUENCY_FACTOR {
        return factor;
    }
    let smooth = (context / wavelength - LOW_FREQUENCY_FACTOR)
        / (HIGH_FREQUENCY_FACTOR - LOW_FREQUENCY_FACTOR);
    1.0 / ((1.0 - smooth) / factor + smooth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(pairs: usize, theta: f64, factor: f64) -> Vec<f32> {
        let inverse = |index: usize| theta.powf(index as f64 / pairs as f64);
        (0..pairs).map(|index| llama3_factor(inverse(index), factor) as f32).collect()
    }

    #[test]
    fn the_factors_of_llama_3_2_are_recognised() {
        let scaling = llama3(&factors(32, 500_000.0, 32.0), 500_000.0).unwrap();
        assert_eq!(scaling["rope_type"], "llama3");
        assert_eq!(scaling["factor"], 32.0);
    }

    #[test]
    fn other_factors_are_refused_by_element() {
        let mut stored = factors(32, 500_000.0, 32.0);
        stored[20] *= 1.01;
        let message = llama3(&stored, 500_000.0).unwrap_err().to_string();
        assert!(message.starts_with("element 20 of tensor \"rope_freqs.weight\""), "{message}");
    }
}
