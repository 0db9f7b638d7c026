//! Thresholds such as `neighborhood>=0.95`.

use super::failure::{Missed, Usage};
use rescribe::probe::ProbeScores;

/// One threshold.
pub struct Requirement {
    metric: String,
    at_least: bool,
    bound: f64,
}

/// Parses thresholds, before any work is done.
pub fn parse(texts: &[String]) -> anyhow::Result<Vec<Requirement>> {
    texts.iter().map(|text| parse_one(text)).collect()
}

fn parse_one(text: &str) -> anyhow::Result<Requirement> {
    let form = || {
        Usage(format!(
            "--require {text:?}: expected METRIC>=NUMBER or METRIC<=NUMBER, where METRIC is \
             efficacy, paraphrase, neighborhood, ripple, score, magnitude, exact_rewrite, \
             exact_paraphrase or, of TOFU, utility or forget_quality"
        ))
    };
    let (at, at_least) = match (text.find(">="), text.find("<=")) {
        (Some(at), _) => (at, true),
        (None, Some(at)) => (at, false),
        (None, None) => return Err(form().into()),
    };
    let metric = text[..at].trim().to_owned();
    let bound: f64 = text[at + 2..].trim().parse().map_err(|_| form())?;
    let is_tofu = matches!(metric.as_str(), "utility" | "forget_quality");
    if !is_tofu && ProbeScores::default().metric(&metric).is_none() {
        return Err(form().into());
    }
    Ok(Requirement { metric, at_least, bound })
}

/// An error that names every threshold that was missed.
pub fn check(requirements: &[Requirement], report: &rescribe::report::Report) -> anyhow::Result<()> {
    check_with(requirements, |metric| report.measure(metric).flatten())
}

/// The same for metrics of any kind; nothing stands for what was not measured.
pub fn check_with(
    requirements: &[Requirement],
    metric: impl Fn(&str) -> Option<f64>,
) -> anyhow::Result<()> {
    let missed: Vec<String> = requirements.iter().filter_map(|r| r.missed(&metric)).collect();
    if missed.is_empty() { Ok(()) } else { Err(Missed(missed.join("; ")).into()) }
}

impl Requirement {
    fn missed(&self, metric: &impl Fn(&str) -> Option<f64>) -> Option<String> {
        let Some(found) = metric(&self.metric) else {
            return Some(format!("{} was not measured: no such prompts", self.metric));
        };
        let holds = if self.at_least { found >= self.bound } else { found <= self.bound };
        let sign = if self.at_least { ">=" } else { "<=" };
        (!holds).then(|| format!("{} is {found:.4}, required {sign} {}", self.metric, self.bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_unknown_metrics_refused() {
        let scores = ProbeScores { efficacy: Some(0.5), ..ProbeScores::default() };
        let holds = |text: &str| {
            let parsed = parse(&[text.to_owned()]).expect("well-formed");
            check(&parsed, &scores).is_ok()
        };
        assert!(holds("efficacy>=0.5") && holds("efficacy <= 0.5"));
        assert!(!holds("efficacy>=0.51") && !holds("ripple>=0"));
        for bad in ["efficacy", "speed>=1", "efficacy>=x"] {
            assert!(parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
