//! Scores of prompts as the rows of one table, the same for one fact and for many.

use super::table::{Cell, Column, Row, Table, Unit};
use super::{EditReport, Report, Section, leak_section};
use crate::probe::{Drift, ProbeScores, PromptKind};

/// The scores of the models of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Of the base, or of the only model.
    pub before: &'a ProbeScores,
    /// Of each fact right after its own batch of a sequence.
    pub right_after: Option<&'a ProbeScores>,
    /// Of the edited model.
    pub after: Option<&'a ProbeScores>,
}

type Score = fn(&ProbeScores) -> Option<f64>;

/// Measures with one observation a prompt, or a record.
const SHARES: [(&str, PromptKind, Score, &str); 4] = [
    ("efficacy", PromptKind::Rewrite, |it| it.efficacy, "P(new) > P(true)"),
    ("paraphrase", PromptKind::Paraphrase, |it| it.paraphrase, "P(new) > P(true)"),
    ("neighborhood", PromptKind::Neighborhood, |it| it.neighborhood, "P(true) > P(new)"),
    ("ripple", PromptKind::Ripple, |it| it.ripple, "what follows from it"),
];

/// Measures that are means over the same prompts.
const MEANS: [(&str, Unit, Score, &str); 4] = [
    ("score", Unit::Share, |it| it.score, "harmonic mean"),
    ("magnitude", Unit::Plain(2), |it| it.magnitude, "P(new) - P(true)"),
    ("exact", Unit::Share, |it| it.exact_rewrite, "new target is argmax"),
    ("exact paraphrase", Unit::Share, |it| it.exact_paraphrase, "new target is argmax"),
];

impl Scores<'_> {
    /// A row a measure that was taken, with n and the interval of the last column.
    pub fn table(&self) -> Table {
        let right_after = self.right_after.map(|_| Column::new("right after"));
        let sides = match self.after {
            Some(_) => [Some(Column::before()), right_after, Some(Column::after())],
            None => [Some(Column::new("measured")), None, None],
        };
        let columns = sides.into_iter().flatten().chain([Column::n(), Column::interval()]);
        let mut table = Table::new("", columns.collect::<Vec<_>>());
        let last = self.after.unwrap_or(self.before);
        for (label, kind, score, note) in SHARES {
            let Some(interval) = last.interval(kind) else { continue };
            table.push(
                self.row(label, Unit::Share, score).cell(interval.n).cell(interval).note(note),
            );
        }
        for (label, unit, score, note) in MEANS {
            if score(last).is_some() {
                let row = self.row(label, unit, score).cell(Cell::Empty).cell(Cell::Empty);
                table.push(row.note(note));
            }
        }
        table
    }

    /// A row of scores of each model.
    fn row(&self, label: &str, unit: Unit, score: Score) -> Row {
        let row = Row::of(label, unit);
        let Some(after) = self.after else { return row.value(score(self.before)) };
        let row = row.cell(score(self.before));
        let row = match self.right_after {
            Some(right_after) => row.cell(score(right_after)),
            None => row,
        };
        row.value(score(after))
    }

    /// A row of another number of the base and of the edited model.
    pub fn measured(&self, label: &str, unit: Unit, before: Option<f64>, after: f64) -> Row {
        let row = Row::of(label, unit).cell(before);
        let row = if self.right_after.is_some() { row.cell(Cell::Empty) } else { row };
        row.value(after)
    }

    /// The rows of what no edit is about.
    pub fn drift_rows(&self, drift: &Drift) -> [Row; 2] {
        let kl = self.measured("drift", Unit::Nats, None, drift.kl.mean);
        let (before, after) = (drift.perplexity_before, drift.perplexity_after);
        let perplexity = self.measured("perplexity", Unit::Ratio, Some(before), after);
        [
            kl.cell(drift.kl.n).cell(&drift.kl).note("KL, nats a token"),
            perplexity.cell(drift.kl.n).cell(Cell::Empty).note("of the same texts"),
        ]
    }
}

impl EditReport {
    /// Scores, what is recoverable, and completions.
    pub fn sections(&self) -> Vec<Section> {
        let scores = Scores { before: &self.before, right_after: None, after: self.after.as_ref() };
        let mut table = scores.table();
        if let Some(drift) = &self.drift {
            scores.drift_rows(drift).into_iter().for_each(|row| table.push(row));
        }
        if let (Some(seconds), Some(_)) = (self.seconds_per_edit, &self.after) {
            let row = scores.measured("seconds", Unit::Seconds, None, seconds);
            table.push(row.cell(self.n).cell(Cell::Empty).note("median of an edit"));
        }
        let has_rows = !table.rows.is_empty();
        let mut sections: Vec<Section> = has_rows.then(|| table.into()).into_iter().collect();
        if let Some(without) = &self.without_ripples {
            let with = self.after.as_ref().unwrap_or(&self.before);
            sections.push(ripple_gain(without, with));
        }
        sections.extend(leak_section(&self.leaks));
        if !self.completions.is_empty() {
            sections.push(self.completions.clone().into());
        }
        sections
    }

    /// The report of a command.
    pub fn report(&self, command: &str) -> serde_json::Result<Report> {
        let mut report = Report::new(command, &self.model, self)?;
        report.sections = self.sections();
        Ok(report)
    }
}

/// What writing the facts that follow from an edit gained, and what it cost.
fn ripple_gain(without: &ProbeScores, with: &ProbeScores) -> Section {
    let columns = ["without", "with"].map(|head| Column::of(head, Unit::Share));
    let mut table = Table::of_items("its ripples", columns);
    let rows: [(&str, Score); 2] =
        [("ripple", |it| it.ripple), ("neighborhood", |it| it.neighborhood)];
    for (label, score) in rows {
        table.push(Row::new(label).cell(score(without)).cell(score(with)));
    }
    Section::titled("Gain and cost of writing what follows from the edit").block(table)
}

/// A clause about an edit that is not a verdict: how many prompts go as wanted.
pub fn sentence(report: &EditReport) -> String {
    let Some(after) = &report.after else {
        return match report.before.score {
            Some(score) => format!("The score of this model is {score:.2}."),
            None => "The model was measured; no edit was compared.".into(),
        };
    };
    let counts = |kind| after.interval(kind).map(|i| ((i.mean * i.n as f64).round() as usize, i.n));
    let parts = [
        (PromptKind::Rewrite, "rewrite prompts"),
        (PromptKind::Paraphrase, "paraphrases"),
        (PromptKind::Neighborhood, "neighborhood prompts"),
    ];
    let part = |(kind, name): (PromptKind, &str)| {
        counts(kind).map(|(hits, n)| format!("{hits} of {n} {name}"))
    };
    let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
    match parts.is_empty() {
        true => "No prompt was scored.".into(),
        false => format!("After the edit, these succeed: {}.", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Measured, PromptScore};
    use crate::report::{Completion, text};

    fn measured(rows: &[(PromptKind, f64, f64)]) -> Measured {
        let prompts = rows.iter().map(|(kind, nll_new, nll_true)| PromptScore {
            kind: *kind,
            prompt: String::new(),
            nll_new: *nll_new,
            nll_true: *nll_true,
            new_is_argmax: *nll_new < 1.,
            true_is_argmax: *nll_true < 1.,
        });
        Measured { prompts: prompts.collect() }
    }

    fn report(records: usize) -> EditReport {
        let (r, p, n) = (PromptKind::Rewrite, PromptKind::Paraphrase, PromptKind::Neighborhood);
        let before = measured(&[(r, 3., 1.), (p, 3., 1.), (p, 3., 1.), (n, 3., 1.), (n, 3., 1.)]);
        let after = measured(&[(r, 0., 5.), (p, 0., 5.), (p, 5., 0.), (n, 3., 1.), (n, 3., 1.)]);
        let scores = |measured: Measured| match records {
            1 => ProbeScores::of_one(&measured),
            _ => ProbeScores::of_records(&vec![measured; records]),
        };
        EditReport {
            schema: 1,
            model: "tiny".into(),
            n: records,
            layer: Some(3),
            before: scores(before),
            after: Some(scores(after)),
            without_ripples: None,
            drift: None,
            leaks: Vec::new(),
            completions: vec![Completion {
                prompt: "It is".into(),
                before: "here\nand there".into(),
                after: Some("there".into()),
            }],
            edits: Vec::new(),
            seconds_per_edit: None,
            prompts_before: Vec::new(),
            prompts_after: Vec::new(),
        }
    }

    fn shown(report: &EditReport) -> String {
        text::render(&report.report("edit").expect("plain data"), 80, &text::plain)
    }

    #[test]
    fn one_fact_and_many_have_the_same_table() {
        insta::assert_snapshot!(shown(&report(1)), @r#"
                          before   after       n  95 % interval
                efficacy    0.00    1.00       1      0.21-1.00  P(new) > P(true)
              paraphrase    0.00    0.50       2      0.09-0.91  P(new) > P(true)
            neighborhood    1.00    1.00       2      0.34-1.00  P(true) > P(new)
                   score    0.00    0.75                         harmonic mean
               magnitude   -0.32    0.99                         P(new) - P(true)
                   exact    0.00    1.00                         new target is argmax
        exact paraphrase    0.00    0.50                         new target is argmax

          "It is"
            before  here and there
            after   there
        "#);
        insta::assert_snapshot!(shown(&report(30)), @r#"
                          before   after       n  95 % interval
                efficacy    0.00    1.00      30      0.89-1.00  P(new) > P(true)
              paraphrase    0.00    0.50      30      0.44-0.56  P(new) > P(true)
            neighborhood    1.00    1.00      30      0.89-1.00  P(true) > P(new)
                   score    0.00    0.75                         harmonic mean
               magnitude   -0.32    0.99                         P(new) - P(true)
                   exact    0.00    1.00                         new target is argmax
        exact paraphrase    0.00    0.50                         new target is argmax

          "It is"
            before  here and there
            after   there
        "#);
    }

    #[test]
    fn ripples_show_what_they_gained_and_cost() {
        let scores = |ripple, neighborhood| ProbeScores {
            ripple: Some(ripple),
            neighborhood: Some(neighborhood),
            ..ProbeScores::default()
        };
        let (without_ripples, after) = (Some(scores(0.25, 1.)), Some(scores(1., 0.9)));
        let gain = shown(&EditReport { without_ripples, after, ..report(1) });
        assert!(
            gain.contains("ripple     0.25    1.00\n    neighborhood     1.00    0.90\n"),
            "{gain}"
        );
    }

    #[test]
    fn every_row_is_a_measure() {
        let report = report(1).report("probe").expect("plain data");
        let names: Vec<String> = report.measures().into_iter().map(|(name, _)| name).collect();
        let expected = [
            "efficacy",
            "paraphrase",
            "neighborhood",
            "score",
            "magnitude",
            "exact",
            "exact paraphrase",
        ];
        assert_eq!(names, expected);
        assert_eq!(report.measure("exact_paraphrase"), Some(Some(0.5)));
    }
}
