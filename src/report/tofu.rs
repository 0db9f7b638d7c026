//! TOFU's measures as a report, of a model and of one that never saw the forget set.

use serde::Serialize;

use super::Report;
use super::table::{Cell, Column, Row, Side, Table, Unit};
use crate::math::KolmogorovSmirnov;
use crate::probe::{TofuMeasures, TofuSummary};
use crate::spec::{TofuLog, TofuSet};

/// The data of the report of an evaluation; `rescribe probe` reads its log again.
#[derive(Debug, Serialize)]
pub struct TofuReport {
    /// Display name of the model, or the file of its log.
    pub model: String,
    /// Name of a model that never saw the forget set, or the file of its log.
    pub reference: Option<String>,
    /// Measures of the model.
    pub summary: TofuSummary,
    /// Measures of the reference.
    pub reference_summary: Option<TofuSummary>,
    /// Comparison of the truth ratios of the forget set with the reference's.
    pub forget_quality: Option<KolmogorovSmirnov>,
    /// Scores of each item.
    pub log: TofuLog,
    /// Scores of each item under the reference.
    pub reference_log: Option<TofuLog>,
}

/// The p above which two samples count as indistinguishable, by convention and in TOFU.
const TOLD_APART: f64 = 0.05;

impl TofuReport {
    /// Three measures of each set, then what follows from them.
    pub fn report(&self) -> serde_json::Result<Report> {
        let report = Report::new("probe", &self.model, self)?.section(self.set_table());
        let summary = self.summary_table();
        Ok(if summary.rows.is_empty() { report } else { report.section(summary) })
    }

    fn set_table(&self) -> Table {
        let number = |head: &str| Column::of(head, Unit::Plain(4));
        let columns = ["probability", "ROUGE-L", "truth ratio"].map(number);
        let columns: Vec<Column> = columns.into_iter().chain([Column::n()]).collect();
        let mut table = Table::of_items("", columns);
        for (set, measures) in &self.summary.sets {
            table.push(row(set.name().into(), measures));
            let reference = self.reference_summary.as_ref();
            if let Some(measures) = reference.and_then(|summary| summary.sets.get(set)) {
                table.push(row(format!("{}, reference", set.name()), measures));
            }
        }
        table
    }

    fn summary_table(&self) -> Table {
        let reference = Column { side: Side::Before, ..Column::new("reference") };
        let columns = match &self.reference_summary {
            Some(_) => vec![Column::new("measured"), reference],
            None => vec![Column::new("measured")],
        };
        let mut table = Table::new("", columns);
        if let Some(utility) = self.summary.utility {
            let other = self.reference_summary.as_ref().and_then(|summary| summary.utility);
            let row = Row::of("model utility", Unit::Plain(4)).value(utility).cell(other);
            table.push(row.note("harmonic mean of nine measures"));
        }
        if let Some(test) = &self.forget_quality {
            let [n, m] = test.n;
            let row = Row::new("forget quality").cell(Cell::Text(probability(test.p)));
            let note = format!(
                "exact p of KS D {:.4}, n {n} and {m}; {} in Kolmogorov's limit",
                test.distance,
                probability(test.p_limit)
            );
            let row = row.cell(Cell::Text(String::new())).note(note);
            table.push(Row { value: Some(test.p), ..row });
        }
        table
    }
}

fn probability(p: f64) -> String {
    if p < 1e-3 { format!("{p:.6e}") } else { format!("{p:.4}") }
}

fn row(label: String, measures: &TofuMeasures) -> Row {
    let TofuMeasures { probability, rouge, truth_ratio } = measures;
    let row = Row::new(label).cell(probability.mean).cell(rouge.mean);
    row.cell(truth_ratio.mean).cell(probability.n)
}

/// The conclusion from the measures, in words.
pub fn tofu_sentence(report: &TofuReport) -> String {
    let utility = report.summary.utility.map(|utility| format!("Model utility is {utility:.3}"));
    let rest = match (&report.forget_quality, report.summary.sets.get(&TofuSet::Forget)) {
        (Some(test), _) if test.p < TOLD_APART => {
            "the truth ratios differ from those of a model that never saw the forget set"
        }
        (Some(_), _) => {
            "at this n the truth ratios do not differ from those of a model that never saw the \
             forget set, which does not prove that it is one"
        }
        (None, Some(_)) => "--reference compares the forget set with a model that never saw it",
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
    use crate::report::text;
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
            model: "m".into(),
            reference: Some("r".into()),
            summary: TofuSummary::new(&log),
            reference_summary: Some(TofuSummary::new(&other)),
            forget_quality: forget_quality(&log, &other),
            log,
            reference_log: Some(other),
        };
        let shown = report.report().expect("plain data");
        assert_eq!(shown.measure("forget_quality"), Some(Some(0.1)));
        insta::assert_snapshot!(text::render(&shown, 80, &text::plain), @r"
                           probability  ROUGE-L  truth ratio       n
                   forget       0.9048   0.5000       0.4870       3
        forget, reference       0.0003   0.5000       0.0012       3

                           measured  reference
           forget quality    0.1000             exact p of KS D 1.0000, n 3 and 3;
                                                0.0996 in Kolmogorov's limit
        ");
        assert_eq!(
            tofu_sentence(&report),
            "At this n the truth ratios do not differ from those of a model that never saw the \
             forget set, which does not prove that it is one."
        );
    }
}
