//! The control zoo as a confusion matrix: what the audit says of models whose truth is known.

use std::collections::BTreeSet;

use super::{Cell, Column, Report, Row, Section, Table, Unit};
use crate::atlas::{Control, Zoo, ZooRun};
use crate::audit::AuditState;
use crate::progress::counted;

/// States that a verdict on passages can be in.
const STATES: [AuditState; 8] = [
    AuditState::Exact,
    AuditState::ReferenceEquivalent,
    AuditState::ReferenceFree,
    AuditState::Suppressed,
    AuditState::NotTested,
    AuditState::OverForgotten,
    AuditState::Damaged,
    AuditState::NotForgotten,
];

/// The matrix, and what decided each failure.
pub fn zoo_report(zoo: &Zoo) -> serde_json::Result<Report> {
    let seeds: BTreeSet<u64> = zoo.runs.iter().map(|run| run.seed).collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let title = format!("Verdicts by control, seeds {}:", seeds.join(", "));
    let report = Report::new("atlas zoo", "atlas", zoo)?
        .section(Section::titled(title).block(matrix(zoo)))
        .section(
            Section::titled("What speaks against each, the first reason of its first run:")
                .block(reasons(zoo)),
        )
        .section(sentence(zoo));
    let sha256 = zoo.limits.sha256.to_string();
    Ok(report.note("limits", format!("{}, sha256 {}", zoo.limits.name, &sha256[..12])))
}

fn of(zoo: &Zoo, control: Control) -> Vec<&ZooRun> {
    zoo.runs.iter().filter(|run| run.control == control).collect()
}

/// A row for each control, a column for each state that occurs.
fn matrix(zoo: &Zoo) -> Table {
    let occurs = |state: &&AuditState| zoo.runs.iter().any(|run| run.state == **state);
    let states: Vec<AuditState> = STATES.iter().filter(occurs).copied().collect();
    let mut columns = vec![Column::of("should", Unit::Text)];
    columns.extend(states.iter().map(|state| Column::of(short(*state), Unit::Count)));
    columns.extend([Column::n(), Column::of("seconds", Unit::Plain(0))]);
    let mut table = Table::of_items("", columns);
    for control in Control::ALL {
        let runs = of(zoo, control);
        let word = if control.should_pass() { "pass" } else { "fail" };
        let mut row = Row::new(control.name()).cell(word);
        for state in &states {
            let count = runs.iter().filter(|run| run.state == *state).count();
            row = row.cell((count > 0).then_some(Cell::Count(count)));
        }
        let seconds: f64 = runs.iter().map(|run| run.seconds.iter().sum::<f64>()).sum();
        table.push(row.cell(runs.len()).cell(seconds / runs.len().max(1) as f64));
    }
    table
}

/// A state in the head of a narrow column.
fn short(state: AuditState) -> &'static str {
    match state {
        AuditState::ReferenceEquivalent => "ref.-equiv.",
        AuditState::ReferenceFree => "ref.-free",
        AuditState::Exact => "exact",
        AuditState::Suppressed => "suppressed",
        AuditState::NotTested => "not tested",
        AuditState::OverForgotten => "over",
        AuditState::Damaged => "damaged",
        AuditState::NotForgotten => "not forg.",
        AuditState::Holds | AuditState::DoesNotHold => state.name(),
    }
}

/// The first reason of the first run of each control that has one.
fn reasons(zoo: &Zoo) -> String {
    let line = |control: Control| {
        let runs = of(zoo, control);
        let (_, text) = runs.iter().find_map(|run| run.reasons.first())?;
        Some(format!("{}: {text}", control.name()))
    };
    let lines: Vec<String> = Control::ALL.into_iter().filter_map(line).collect();
    lines.join("\n")
}

fn sentence(zoo: &Zoo) -> String {
    let bad = zoo.runs.iter().filter(|run| !run.control.should_pass()).count();
    let good = zoo.runs.len() - bad;
    format!(
        "{} of {} that should fail passed, and {} of {} that should pass failed.",
        zoo.false_passes(),
        counted(bad, "model"),
        zoo.false_alarms(),
        counted(good, "model")
    )
}
