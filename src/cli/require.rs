//! Compares the report of a run with thresholds such as `neighborhood>=0.95`, and with `took`.

use super::exit::{Missed, Usage};
use rescribe::report::{Report, is_measure};
use rescribe::verdict::State;

/// A condition for the program to exit with 0.
#[derive(Debug, PartialEq)]
pub enum Requirement {
    /// The verdict is that the edit took.
    Took,
    /// A row of the report has a value on this side of the bound.
    Measure { name: String, comparison: Comparison, bound: f64 },
}

/// How a value is compared with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    AtLeast,
    AtMost,
    Equal,
    Above,
    Below,
}

impl Comparison {
    /// Longer signs first, since `>` also begins `>=`.
    const ALL: [Self; 5] = [Self::AtLeast, Self::AtMost, Self::Equal, Self::Above, Self::Below];

    fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::Above => ">",
            Self::Below => "<",
        }
    }

    /// A value that is NaN meets no bound.
    fn holds(self, found: f64, bound: f64) -> bool {
        match self {
            Self::AtLeast => found >= bound,
            Self::AtMost => found <= bound,
            Self::Equal => found == bound,
            Self::Above => found > bound,
            Self::Below => found < bound,
        }
    }
}

/// Parses thresholds, before any work is done.
pub fn parse(texts: &[String]) -> anyhow::Result<Vec<Requirement>> {
    texts.iter().map(|text| parse_one(text)).collect()
}

fn parse_one(text: &str) -> anyhow::Result<Requirement> {
    if text.trim().eq_ignore_ascii_case("took") {
        return Ok(Requirement::Took);
    }
    let refuse = |why: &str| Usage(format!("--require {text:?}: {why}"));
    let form = || {
        refuse(
            "expected `took` or NAME>=NUMBER, where NAME is a row of the report, such as efficacy, \
             and the sign is >=, <=, >, < or ==",
        )
    };
    let at = text.find(['<', '>', '=']).ok_or_else(form)?;
    let (name, rest) = (text[..at].trim(), &text[at..]);
    let comparison = Comparison::ALL.into_iter().find(|it| rest.starts_with(it.sign()));
    let comparison = comparison.ok_or_else(form)?;
    let bound: f64 = rest[comparison.sign().len()..].trim().parse().map_err(|_| form())?;
    if name.is_empty() || bound.is_nan() {
        return Err(form().into());
    }
    if !is_measure(name) {
        return Err(refuse(&format!("no report has a row {name:?}")).into());
    }
    Ok(Requirement::Measure { name: name.to_owned(), comparison, bound })
}

/// An error that names every requirement that does not hold.
pub fn check(requirements: &[Requirement], report: &Report) -> anyhow::Result<()> {
    debug_assert!(
        report.measures().iter().all(|(name, _)| is_measure(name)),
        "`--require` refuses a row of this report: {:?}",
        report.measures()
    );
    let mut missed = Vec::new();
    for requirement in requirements {
        missed.extend(requirement.missed(report)?);
    }
    if missed.is_empty() { Ok(()) } else { Err(Missed(missed.join("; ")).into()) }
}

impl Requirement {
    fn missed(&self, report: &Report) -> Result<Option<String>, Usage> {
        let Self::Measure { name, comparison, bound } = self else {
            return Ok(did_not_take(report));
        };
        let Some(found) = report.measure(name) else {
            let names: Vec<String> = report.measures().into_iter().map(|(name, _)| name).collect();
            let message = format!(
                "--require {name}: this report has no such row; it shows {}",
                names.join(", ")
            );
            return Err(Usage(message));
        };
        Ok(match found {
            None => Some(format!("{name} was not measured")),
            Some(found) if comparison.holds(found, *bound) => None,
            Some(found) => {
                Some(format!("{name} is {found:.4}, required {} {bound}", comparison.sign()))
            }
        })
    }
}

fn did_not_take(report: &Report) -> Option<String> {
    match &report.verdict {
        None => Some("required took, but this command reaches no verdict".into()),
        Some(verdict) if verdict.state == State::Took => None,
        Some(verdict) => Some(verdict.sentence.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rescribe::report::{Column, Row, Table, Unit};
    use rescribe::verdict::Verdict;

    fn report(state: State) -> Report {
        let mut table = Table::new("", [Column::after()]);
        table.push(Row::of("efficacy", Unit::Share).value(0.5));
        table.push(Row::of("exact paraphrase", Unit::Share).value(f64::NAN));
        table.push(Row::of("ripple", Unit::Share).value(None::<f64>));
        let mut report = Report::new("edit", "tiny", &()).expect("plain data").section(table);
        let sentence = "The edit did not take.".to_owned();
        report.verdict = Some(Verdict { state, reasons: Vec::new(), sentence });
        report
    }

    fn checked(text: &str, state: State) -> anyhow::Result<()> {
        check(&parse(&[text.to_owned()])?, &report(state))
    }

    #[test]
    fn every_sign_compares_as_it_reads() {
        let rows = [
            ("efficacy>=0.5", true),
            ("efficacy <= 0.5", true),
            ("Efficacy==0.5", true),
            ("efficacy>0.5", false),
            ("efficacy<0.5", false),
            ("efficacy>0.4", true),
            ("efficacy>=0.51", false),
            ("exact_paraphrase>=0", false),
            ("ripple>=0", false),
        ];
        for (text, expected) in rows {
            assert_eq!(checked(text, State::Took).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_run_that_did_not_take_misses_took() {
        assert!(checked("took", State::Took).is_ok());
        let error = checked(" Took", State::DidNotTake).expect_err("missed");
        assert!(error.is::<Missed>(), "{error}");
        assert_eq!(error.to_string(), "The edit did not take.");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_any_work() {
        for bad in ["efficacy", "speed>=1", "efficacy>=x", ">=1", "efficacy=1", "efficacy>=nan"] {
            let error = parse(&[bad.to_owned()]).expect_err(bad);
            assert!(error.is::<Usage>(), "{bad}");
        }
    }

    #[test]
    fn a_row_that_this_report_lacks_is_a_usage_error_with_those_that_it_has() {
        let error = checked("drift<=1", State::Took).expect_err("no such row");
        assert!(error.is::<Usage>(), "{error}");
        let list = "it shows efficacy, exact paraphrase, ripple";
        assert!(error.to_string().ends_with(list), "{error}");
    }
}
