//! TOFU's measures as a table.

use serde::Serialize;

use crate::math::KolmogorovSmirnov;
use crate::probe::{TofuMeasures, TofuSummary};
use crate::spec::{TofuLog, TofuSet};

/// An evaluation, as `--json` prints it; `rescribe probe` reads its log again.
#[derive(Debug, Serialize)]
pub struct TofuReport {
    /// Version of this structure.
    pub schema: u32,
    /// As people call the model, or the file of its log.
    pub model: String,
    /// The same of what never saw the forget set.
    pub reference: Option<String>,
    /// Measures of the model.
    pub summary: TofuSummary,
    /// Measures of the reference.
    pub reference_summary: Option<TofuSummary>,
    /// Truth ratios of the forget set, against the reference's.
    pub forget_quality: Option<KolmogorovSmirnov>,
    /// Scores of each item.
    pub log: TofuLog,
    /// Scores of each item under the reference.
    pub reference_log: Option<TofuLog>,
}

const LABEL: usize = 16;

/// A p above which the two samples cannot be told apart, by convention and in TOFU.
const TOLD_APART: f64 = 0.05;

/// Three measures of each set, then what follows from them.
pub fn tofu_table(report: &TofuReport) -> String {
    let mut out = format!(
        "{:LABEL$}  {:>11} {:>8} {:>11} {:>5}\n",
        "", "probability", "ROUGE-L", "truth ratio", "n"
    );
    let reference = report.reference_summary.as_ref();
    for (set, measures) in &report.summary.sets {
        out.push_str(&row(set.name(), measures));
        if let Some(measures) = reference.and_then(|summary| summary.sets.get(set)) {
            out.push_str(&row("reference", measures));
        }
    }
    let other = |value: Option<f64>| match value {
        Some(value) => format!("   reference {value:.4}"),
        None => String::new(),
    };
    if let Some(utility) = report.summary.utility {
        let other = other(reference.and_then(|summary| summary.utility));
        out.push_str(&format!("\n{:>LABEL$}  {utility:>11.4}{other}\n", "model utility"));
    }
    if let Some(test) = &report.forget_quality {
        let [n, m] = test.n;
        out.push_str(&format!(
            "{:>LABEL$}  {:>11}   exact p of KS D {:.4}, n {n} and {m}\n{:LABEL$}  {:>11}   in \
             Kolmogorov's limit\n",
            "forget quality",
            probability(test.p),
            test.distance,
            "",
            probability(test.p_limit),
        ));
    }
    out
}

fn probability(p: f64) -> String {
    if p < 1e-3 { format!("{p:.6e}") } else { format!("{p:.4}") }
}

fn row(label: &str, measures: &TofuMeasures) -> String {
    format!(
        "{label:>LABEL$}  {:>11.4} {:>8.4} {:>11.4} {:>5}\n",
        measures.probability.mean,
        measures.rouge.mean,
        measures.truth_ratio.mean,
        measures.probability.n
    )
}

/// The last line.
pub fn tofu_sentence(report: &TofuReport) -> String {
    let utility = report.summary.utility.map(|utility| format!("Model utility is {utility:.3}"));
    let rest = match (&report.forget_quality, report.summary.sets.get(&TofuSet::Forget)) {
        (Some(test), _) if test.p < TOLD_APART => {
            "by its truth ratios the model can be told from one that never saw the forget set"
        }
        (Some(_), _) => {
            "at this n the model's truth ratios cannot be told from those of one that never saw \
             the forget set, which is no proof that it is one"
        }
        (None, Some(_)) => {
            "with --reference the forget set is compared with a model that never saw it"
        }
        (None, None) => "no forget set was measured",
    };
    match utility {
        Some(utility) => format!("{utility}; {rest}."),
        None => {
            let mut letters = rest.chars();
            let first = letters.next().map(|letter| letter.to_uppercase().to_string());
            format!("{}{}.", first.unwrap_or_default(), letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::forget_quality;
    use crate::spec::TofuScores;

    #[test]
    fn a_table_of_two_models() {
        let scores = |loss: f64| {
            let items = (0..3).map(|i| TofuScores {
                answer: loss,
                paraphrase: loss + f64::from(i),
                perturbed: vec![2.],
                rouge: 0.5,
            });
            TofuLog([(TofuSet::Forget, items.collect())].into())
        };
        let (log, other) = (scores(0.1), scores(8.));
        let report = TofuReport {
            schema: 1,
            model: "m".into(),
            reference: Some("r".into()),
            summary: TofuSummary::new(&log),
            reference_summary: Some(TofuSummary::new(&other)),
            forget_quality: forget_quality(&log, &other),
            log,
            reference_log: Some(other),
        };
        insta::assert_snapshot!(tofu_table(&report), @r"
                        probability  ROUGE-L truth ratio     n
                forget       0.9048   0.5000      0.4870     3
             reference       0.0003   0.5000      0.0012     3
        forget quality       0.1000   exact p of KS D 1.0000, n 3 and 3
                             0.0996   in Kolmogorov's limit
        ");
        assert_eq!(
            tofu_sentence(&report),
            "At this n the model's truth ratios cannot be told from those of one that never saw \
             the forget set, which is no proof that it is one."
        );
    }
}
