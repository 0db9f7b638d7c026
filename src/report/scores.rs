//! Scores of prompts as the rows of one table, the same for one fact and for many.

use super::table::{Cell, Column, Row, Table, Unit};
use crate::probe::{ProbeScores, PromptKind};

/// The scores of the models of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Scores of the base, or of the only model.
    pub before: &'a ProbeScores,
    /// Scores of each fact right after its own batch of a sequence.
    pub right_after: Option<&'a ProbeScores>,
    /// Scores of the edited model.
    pub after: Option<&'a ProbeScores>,
}

type Score = fn(&ProbeScores) -> Option<f64>;

/// Measures with one observation for each prompt, or each record.
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
    /// One row for each measure that was taken, with n and the interval of the last column.
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Measured, PromptScore};
    use crate::report::{Report, text};

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

    fn table(records: usize) -> Table {
        let (r, p, n) = (PromptKind::Rewrite, PromptKind::Paraphrase, PromptKind::Neighborhood);
        let before = measured(&[(r, 3., 1.), (p, 3., 1.), (p, 3., 1.), (n, 3., 1.), (n, 3., 1.)]);
        let after = measured(&[(r, 0., 5.), (p, 0., 5.), (p, 5., 0.), (n, 3., 1.), (n, 3., 1.)]);
        let scores = |measured: Measured| match records {
            1 => ProbeScores::of_one(&measured),
            _ => ProbeScores::of_records(&vec![measured; records]),
        };
        let (before, after) = (scores(before), scores(after));
        Scores { before: &before, right_after: None, after: Some(&after) }.table()
    }

    fn shown(table: Table) -> String {
        let report = Report::new("edit", "tiny", &()).expect("plain data").section(table);
        text::render(&report, 80, &text::plain)
    }

    #[test]
    fn one_fact_and_many_have_the_same_table() {
        insta::assert_snapshot!(shown(table(1)), @r#"
                          before   after       n  95 % interval
                efficacy    0.00    1.00       1      0.21-1.00  P(new) > P(true)
              paraphrase    0.00    0.50       2      0.09-0.91  P(new) > P(true)
            neighborhood    1.00    1.00       2      0.34-1.00  P(true) > P(new)
                   score    0.00    0.75                         harmonic mean
               magnitude   -0.32    0.99                         P(new) - P(true)
                   exact    0.00    1.00                         new target is argmax
        exact paraphrase    0.00    0.50                         new target is argmax
        "#);
        insta::assert_snapshot!(shown(table(30)), @r#"
                          before   after       n  95 % interval
                efficacy    0.00    1.00      30      0.89-1.00  P(new) > P(true)
              paraphrase    0.00    0.50      30      0.44-0.56  P(new) > P(true)
            neighborhood    1.00    1.00      30      0.89-1.00  P(true) > P(new)
                   score    0.00    0.75                         harmonic mean
               magnitude   -0.32    0.99                         P(new) - P(true)
                   exact    0.00    1.00                         new target is argmax
        exact paraphrase    0.00    0.50                         new target is argmax
        "#);
    }
}
