//! An audit as a report: the numbers check by check, what was not run, and the verdicts.

use super::{Cell, Column, Place, Report, Row, Section, Table, Unit};
use crate::audit::{Audit, AuditMeasure, AuditVerdict, Check};
use crate::progress::counted;

/// Reasons of a verdict that are printed; all of them are in the data.
const REASONS: usize = 5;

/// The report of an audit.
pub fn audit_report(audit: &Audit) -> serde_json::Result<Report> {
    let mut report = Report::new("verify", &audit.model, audit)?;
    for check in Check::ALL {
        let own = audit.measures.iter().filter(|it| it.check == check.name());
        let own: Vec<&AuditMeasure> = own.collect();
        if !own.is_empty() {
            report = report.section(measures(audit, check, &own));
        }
    }
    report = report.section(equivalence(audit)).section(checks(audit));
    for verdict in &audit.verdicts {
        report = report.section(sentences(verdict));
    }
    report.sections.retain(|section| !section.blocks.is_empty());
    let sha256 = audit.limits.sha256.to_string();
    let limits =
        format!("{}, sha256 {} before anything was measured", audit.limits.name, &sha256[..12]);
    Ok(report.note("limits", limits))
}

fn measures(audit: &Audit, check: Check, own: &[&AuditMeasure]) -> Section {
    let columns = [Column::after(), Column::interval(), Column::n(), Column::new("compared with")];
    let mut table = Table::of_items("", columns);
    for measure in own {
        let unit = unit(measure);
        let found = &measure.found;
        let interval = (found.low < found.high).then(|| Cell::from(found));
        let row = Row::of(measure.name.as_str(), unit).cell(found.mean).cell(interval);
        table.push(row.cell(found.n).cell(measure.compared));
    }
    let seconds = audit.done.iter().find(|done| done.check == check).map_or(0., |it| it.seconds);
    Section::titled(format!("{} ({seconds:.1} s):", check.name())).block(table)
}

/// How the numbers of a row are written, by its name.
fn unit(measure: &AuditMeasure) -> Unit {
    let name = measure.name.as_str();
    let begins = |heads: &[&str]| heads.iter().any(|head| name.starts_with(head));
    if begins(&["weights not", "tensors"]) {
        Unit::Count
    } else if begins(&["drift"]) {
        Unit::Nats
    } else if name.ends_with("codes changed") || begins(&["largest change"]) {
        Unit::Percent
    } else if begins(&["steps"]) {
        Unit::Plain(1)
    } else {
        Unit::Plain(2)
    }
}

fn equivalence(audit: &Audit) -> Section {
    if audit.equivalence.is_empty() {
        return Section::default();
    }
    let columns = [
        Column::of("difference", Unit::Plain(3)),
        Column::of("margin", Unit::Plain(3)),
        Column::of("p", Unit::Plain(3)),
        Column::n(),
        Column::of("equivalent", Unit::Text),
    ];
    let mut table = Table::of_items("", columns);
    for test in &audit.equivalence {
        let tested = &test.tested;
        let row = Row::new(test.measure.as_str()).cell(tested.difference).cell(tested.margin);
        let word = if test.is_equivalent { "yes" } else { "no" };
        table.push(row.cell(tested.p).cell(tested.n).cell(word));
    }
    let models = counted(audit.references.len(), "model");
    let title =
        format!("Equivalence with {models} trained without the data, by two one-sided tests:");
    Section::titled(title).block(table)
}

/// What was not run, each with its reason.
fn checks(audit: &Audit) -> Section {
    let line = |it: &crate::audit::NotRun| format!("{}: {}", it.check.name(), it.reason);
    let lines: Vec<String> = audit.not_run.iter().map(line).collect();
    match lines.is_empty() {
        true => Section::default(),
        false => Section::titled("Not run:").block(lines.join("\n")),
    }
}

fn sentences(verdict: &AuditVerdict) -> Section {
    let title = format!("{} ({}): {}", verdict.of.name(), verdict.n, verdict.state.name());
    let mut lines = vec![capitalised(verdict.state.meaning()) + "."];
    let reasons = verdict.reasons.iter().take(REASONS);
    lines.extend(reasons.map(|it| format!("{}: {}.", it.state.name(), it.reason.text)));
    if verdict.reasons.len() > REASONS {
        lines.push(format!("And {} more in --json.", verdict.reasons.len() - REASONS));
    }
    let section = Section::titled(capitalised(&title)).block(lines.join("\n"));
    Section { place: Place::Verdict, ..section }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().collect::<String>());
    first.unwrap_or_default() + letters.as_str()
}
