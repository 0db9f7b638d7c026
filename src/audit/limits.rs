//! The thresholds that a verdict compares with: one file, whose digest is taken before anything is
//! measured.

use serde::{Deserialize, Serialize};

use crate::files::Sha256;

/// The thresholds of an audit. Those of the built-in file were set on seeds 0 to 2 of the control zoo.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Area under the curve of membership inference from which on passages count as remembered.
    pub remembered_auc: f64,
    /// Area below which they are less probable than text that was never seen: a hole.
    pub hole_auc: f64,
    /// NLL of the passages as a share of that of text that was never seen, below which they count as
    /// remembered.
    pub nll_share: f64,
    /// The same share above which they are a hole, where its whole 95 % interval lies above.
    pub hole_nll_share: f64,
    /// How much more of a passage is recited than of text that was never seen, as a share of it.
    pub recital: f64,
    /// How much larger the log truth ratio is than that of text that was never seen.
    pub truth: f64,
    /// How much more of a passage the best of 64 samples gives, as a share of it.
    pub sampled: f64,
    /// Area under the curve of membership inference by the logit lens, at any layer.
    pub lens_auc: f64,
    /// NLL of the watched half, as a share of that of models or text that never saw it, while the
    /// other half is learnt again.
    pub relearn_share: f64,
    /// Steps until half of the NLL of what is learnt again is gone, as a share of the control's.
    pub relearn_steps: f64,
    /// NLL after rounding as a share of that of text that was never seen.
    pub quantised_share: f64,
    /// Drift on general text, nats a token. A model that is trained anew without the data drifts from
    /// the base as well, by 0.9 to 1.2 in the zoo, so that damage shows in perplexity.
    pub drift: f64,
    /// Perplexity of general text as a multiple of the base's.
    pub perplexity: f64,
    /// Perplexity of the retained passages as a multiple of the base's.
    pub retain_perplexity: f64,
    /// Share of other subjects whose top answer stays.
    pub background: f64,
    /// The margin of equivalence as a multiple of the references' own spread.
    pub equivalence_margin: f64,
    /// Level of the two one-sided tests.
    pub alpha: f64,
    /// Passages below which a sample says too little for a verdict beyond the outputs.
    pub fewest: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            remembered_auc: 0.75,
            hole_auc: 0.2,
            nll_share: 0.8,
            hole_nll_share: 1.6,
            recital: 0.15,
            truth: 1.5,
            sampled: 0.15,
            lens_auc: 0.8,
            relearn_share: 0.8,
            relearn_steps: 0.6,
            quantised_share: 0.8,
            drift: 2.,
            perplexity: 1.1,
            retain_perplexity: 1.5,
            background: 0.9,
            equivalence_margin: 2.,
            alpha: 0.05,
            fewest: 8,
        }
    }
}

/// Thresholds as a file holds them, with its digest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitsFile {
    /// The file as the user named it; `built-in` for the defaults.
    pub name: String,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// What it says, defaults filled in.
    pub limits: Limits,
}

impl LimitsFile {
    /// The defaults, as the JSON text that stands for a file.
    pub fn built_in() -> Self {
        let limits = Limits::default();
        let text = serde_json::to_string_pretty(&limits).expect("numbers have a JSON form");
        Self { name: "built-in".into(), sha256: Sha256::of(text), limits }
    }

    /// Reads JSON, or TOML where the name ends so; keys that are absent have their defaults.
    ///
    /// # Errors
    ///
    /// A sentence on what is wrong with the text.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        let limits: Limits = match name.ends_with(".toml") {
            true => toml::from_str(text).map_err(|error| error.to_string())?,
            false => serde_json::from_str(text).map_err(|error| error.to_string())?,
        };
        Ok(Self { name: name.to_owned(), sha256: Sha256::of(text), limits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaces_what_it_names_and_its_bytes_are_hashed() {
        let json = LimitsFile::read("limits.json", r#"{"drift": 0.2}"#).expect("read");
        let toml = LimitsFile::read("limits.toml", "drift = 0.2").expect("read");
        assert_eq!(json.limits, Limits { drift: 0.2, ..Limits::default() });
        assert_eq!(json.limits, toml.limits);
        assert_eq!(toml.sha256, Sha256::of("drift = 0.2"));
        assert_ne!(json.sha256, LimitsFile::built_in().sha256);
        let error = LimitsFile::read("limits.json", r#"{"drft": 1}"#).expect_err("refused");
        assert!(error.contains("drft"), "{error}");
    }
}
