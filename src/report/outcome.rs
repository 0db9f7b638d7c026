//! The outcome of a run as a report: answers, side effects, the scores of papers, trainings.

use super::attack::attack_section;
use super::details::{bleed_section, layer_section, loss_section, worst_section};
use super::leaks::leak_section;
use super::origin::requests;
use super::passages::passage_section;
use super::price::{price_figure, price_row, price_section};
use super::prompts::prompt_section;
use super::secrets::secret_section;
use super::{Axis, Block, Cell, Column, Figure, Report, Row, Scores, Section, Series, Table, Unit};
use crate::math::Interval;
use crate::probe::{Background, ProbeScores, PromptKind, Said, SaidShares};
use crate::progress::counted;
use crate::run::{CaseMeasures, CaseOutcome, EarlierFacts, GroupOutcome, Grouping, Outcome};

/// The report of a run by the verb `command`.
pub fn outcome_report(outcome: &Outcome, command: &str) -> serde_json::Result<Report> {
    let mut report = Report::new(command, &outcome.model, outcome)?;
    report.requests = requests(outcome);
    let sections = [
        Some(Section::from(free(outcome))),
        prompt_section(outcome),
        forced(outcome),
        curve(outcome),
        price_section(outcome),
        leak_section(&outcome.leaks),
        secret_section(&outcome.secrets),
        moved(outcome),
    ];
    for section in sections.into_iter().flatten() {
        report = report.section(section);
    }
    for found in outcome.remembered().chain(outcome.remembered_texts()) {
        report = report.section(passage_section(&found));
    }
    if let Some(attack) = &outcome.attack {
        report = report.section(attack_section(attack));
    }
    if !outcome.completions.is_empty() {
        report = report.section(outcome.completions.clone());
    }
    let details = [
        price_figure(outcome),
        bleed_section(outcome),
        worst_section(outcome),
        loss_section(outcome),
        layer_section(outcome),
    ];
    report.sections.extend(details.into_iter().flatten());
    if let Some(write) = &outcome.write {
        report = report
            .note("cost", format!("{:.2} s a fact{}", write.seconds_per_fact, cached(outcome)));
    }
    if let Some(rounding) = outcome.rounding.as_ref().filter(|it| it.share_lost >= LEAST_LOST) {
        let lost = 100. * rounding.share_lost;
        let text = format!("rounding to the stored type took {lost:.1} % of the change");
        report = report.note("stored", text);
    }
    if !outcome.left_out.is_empty() {
        report = report.note("left out", left_out(outcome));
    }
    report.verdict = outcome.verdict.clone();
    debug_assert_eq!(unknown_reason(&report), None, "a reason of the verdict names no row");
    Ok(report)
}

/// A reason of the verdict that is no measure of the report.
fn unknown_reason(report: &Report) -> Option<&str> {
    let mut reasons = report.verdict.iter().flat_map(|verdict| &verdict.reasons);
    let is_unknown = |reason: &&crate::verdict::Reason| report.measure(&reason.measure).is_none();
    reasons.find(is_unknown).map(|reason| reason.measure.as_str())
}

/// The number of records that were left out, and the first of their ids.
fn left_out(outcome: &Outcome) -> String {
    const SHOWN: usize = 12;
    let all = &outcome.left_out;
    let ids: Vec<&str> = all.iter().take(SHOWN).map(|it| it.id.as_str()).collect();
    let more = if all.len() > SHOWN { ", ..." } else { "" };
    format!("{} that cannot be used: {}{more}", counted(all.len(), "record"), ids.join(", "))
}

/// Share lost to rounding below which no line is shown.
const LEAST_LOST: f64 = 0.0005;

fn cached(outcome: &Outcome) -> String {
    match outcome.write.as_ref().map_or(0, |write| write.values_from_cache) {
        0 => String::new(),
        cached => {
            let all = counted(outcome.facts().count(), "value");
            format!(", {cached} of {all} from the cache")
        }
    }
}

/// The moments at which cases were measured: before, right after their own group, at the end.
struct Moments<'a> {
    before: Vec<&'a CaseMeasures>,
    right_after: Option<Vec<&'a CaseMeasures>>,
    after: Option<Vec<&'a CaseMeasures>>,
}

impl<'a> Moments<'a> {
    fn of(cases: &'a [CaseOutcome]) -> Self {
        let right_after: Vec<_> =
            cases.iter().filter_map(|case| case.right_after.as_ref()).collect();
        let after: Vec<_> = cases.iter().filter_map(|case| case.after.as_ref()).collect();
        Self {
            before: cases.iter().map(|case| &case.before).collect(),
            right_after: (!right_after.is_empty()).then_some(right_after),
            after: (!after.is_empty()).then_some(after),
        }
    }

    fn columns(&self) -> Vec<Column> {
        let right_after = self.right_after.is_some().then(|| Column::new("right after"));
        let first = match &self.after {
            Some(_) => [Some(Column::before()), right_after, Some(Column::after())],
            None => [Some(Column::new("measured")), None, None],
        };
        let last = [Column::n(), Column::interval()];
        first.into_iter().flatten().chain(last).collect()
    }

    fn last(&self) -> &[&'a CaseMeasures] {
        self.after.as_deref().unwrap_or(&self.before)
    }

    /// A row of `value` at each moment; nothing where there is none at the end.
    fn row(
        &self,
        (label, unit): (&str, Unit),
        value: impl Fn(&[&CaseMeasures]) -> Option<Interval>,
    ) -> Option<Row> {
        let after = value(self.last())?;
        let mean = |measures: &[&CaseMeasures]| value(measures).map(|it| it.mean);
        let mut row = Row::of(label, unit);
        if self.after.is_some() {
            row = row.cell(mean(&self.before));
        }
        if let Some(right_after) = &self.right_after {
            row = row.cell(mean(right_after));
        }
        let interval = (after.low < after.high || after.n > 1).then_some(&after);
        Some(row.value(after.mean).cell(after.n).cell(interval.map(Cell::from)))
    }
}

fn said_of(
    measures: &[&CaseMeasures],
    list: fn(&CaseMeasures) -> &[Said],
    kind: PromptKind,
) -> Option<SaidShares> {
    SaidShares::of(measures.iter().flat_map(|it| list(it)).filter(|said| said.kind == kind))
}

fn should(measures: &CaseMeasures) -> &[Said] {
    &measures.said
}

fn should_not(measures: &CaseMeasures) -> &[Said] {
    &measures.erased
}

/// Free decoding, other subjects, general text.
fn free(outcome: &Outcome) -> Table {
    let moments = Moments::of(&outcome.cases);
    let mut table = Table::new("", moments.columns());
    let (rewrite, paraphrase) = (PromptKind::Rewrite, PromptKind::Paraphrase);
    let rows = [
        moments
            .row(("said", Unit::Share), |it| said_of(it, should, rewrite).map(|it| it.said))
            .map(|row| row.note("whole target, decoded")),
        moments
            .row(("said, paraphrased", Unit::Share), |it| {
                said_of(it, should, paraphrase).map(|it| it.said)
            })
            .map(|row| row.note("other wordings")),
        moments
            .row(("said, ripples", Unit::Share), |it| {
                said_of(it, should, PromptKind::Ripple).map(|it| it.said)
            })
            .map(|row| row.note("what follows from it")),
        moments
            .row(("runs on", Unit::Share), |it| said_of(it, should, rewrite)?.runs_on)
            .map(|row| row.note("of those, goes on")),
        moments
            .row(("P(target)", Unit::Probability), |it| {
                said_of(it, should, rewrite).map(|it| it.probability)
            })
            .map(|row| row.note("after the prompt")),
        moments
            .row(("still said", Unit::Share), |it| {
                said_of(it, should_not, rewrite).map(|it| it.said)
            })
            .map(|row| row.note("erased, yet decoded")),
    ];
    rows.into_iter().flatten().for_each(|row| table.push(row));
    stayed(outcome, &moments, &mut table);
    value_row(outcome, &moments, &mut table);
    table
}

/// The largest NLL at which an optimisation of a value that should be said ended.
fn value_row(outcome: &Outcome, moments: &Moments<'_>, table: &mut Table) {
    let written = outcome.facts().filter(|it| !it.is_erased && it.unwritten.is_none());
    let all: Vec<f64> = written.map(|it| it.nll).collect();
    let Some(largest) = all.iter().copied().max_by(f64::total_cmp) else { return };
    let row = Row::of("value NLL", Unit::Plain(3)).cell(Cell::Empty);
    let row = if moments.right_after.is_some() { row.cell(Cell::Empty) } else { row };
    let note = if all.len() == 1 { "when optimised" } else { "when optimised, the largest" };
    table.push(row.value(largest).cell(all.len()).cell(Cell::Empty).note(note));
}

/// Rows of side effects: other subjects, general text, the probe file's own texts.
fn stayed(outcome: &Outcome, moments: &Moments<'_>, table: &mut Table) {
    let pooled = |measures: &[&CaseMeasures]| {
        let found = measures.iter().filter_map(|it| it.background.clone());
        Background::pooled(&found.collect::<Vec<_>>())
    };
    let rows = [
        moments
            .row(("background", Unit::Share), |it| pooled(it).others)
            .map(|row| row.note("other subjects stay")),
        moments
            .row(("near subjects", Unit::Share), |it| pooled(it).near)
            .map(|row| row.note("that end like this one")),
    ];
    rows.into_iter().flatten().for_each(|row| table.push(row));
    let has_right_after = moments.right_after.is_some();
    if let Some(EarlierFacts { before, after, .. }) = &outcome.earlier {
        let row = Row::of("earlier facts", Unit::Share).cell(before.mean);
        let row = if has_right_after { row.cell(Cell::Empty) } else { row };
        let row = row.value(after.mean).cell(after.n).cell(Cell::from(after));
        table.push(row.note("of --from, still hold"));
    }
    if let Some(damage) = &outcome.damage {
        damage_rows(
            &(damage.drift, damage.perplexity_before, damage.perplexity_after),
            "",
            "general text",
            has_right_after,
            table,
        );
    }
    if let Some(row) = price_row(outcome, has_right_after) {
        table.push(row);
    }
    if let Some(retain) = &outcome.retain {
        damage_rows(
            &(retain.kl, retain.perplexity_before, retain.perplexity_after),
            "retain ",
            "[[retain]] texts",
            has_right_after,
            table,
        );
    }
}

fn damage_rows(
    (drift, before, after): &(Interval, f64, f64),
    prefix: &str,
    text: &str,
    has_right_after: bool,
    table: &mut Table,
) {
    let gap = |row: Row| if has_right_after { row.cell(Cell::Empty) } else { row };
    let row = gap(Row::of(format!("{prefix}drift"), Unit::Nats).cell(Cell::Empty));
    let row = row.value(drift.mean).cell(drift.n).cell(Cell::from(drift));
    table.push(row.note(format!("KL, {text}")));
    let row = Row::of(format!("{prefix}perplexity"), Unit::Plain(2)).cell(*before);
    let row = gap(row).value(*after).cell(drift.n).cell(Cell::Empty);
    table.push(row.note("same text"));
}

/// The paper's scores, which compare the probabilities of two targets.
fn forced(outcome: &Outcome) -> Option<Section> {
    let moments = Moments::of(&outcome.cases);
    let scores = |measures: &[&CaseMeasures]| {
        let all: Vec<_> = measures.iter().map(|it| it.scores.clone()).collect();
        match all.as_slice() {
            [one] => ProbeScores::of_one(one),
            all => ProbeScores::of_records(all),
        }
    };
    let (before, last) = (scores(&moments.before), scores(moments.last()));
    let right_after = moments.right_after.as_deref().map(scores);
    let after = moments.after.as_ref().map(|_| &last);
    let table = Scores { before: &before, right_after: right_after.as_ref(), after }.table();
    if table.rows.is_empty() {
        return None;
    }
    let mut section = Section::titled("With both targets forced, as papers score:").block(table);
    if let Some(without) = &outcome.without_ripples {
        section = section.block(Block::Text(ripple_gain(without, &last)));
    }
    Some(section)
}

/// The gain and the cost of writing the ripples.
fn ripple_gain(without: &ProbeScores, with: &ProbeScores) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".into(), |it| format!("{it:.2}"));
    let change = |name: &str, a, b| format!("{name} {} -> {}", number(a), number(b));
    format!(
        "What its ripples bought and cost: {}, {}.",
        change("ripple", without.ripple, with.ripple),
        change("neighborhood", without.neighborhood, with.neighborhood)
    )
}

/// Groups beyond which only their curve is shown.
const MANY: usize = 10;

/// The groups of a sequence, one for each row.
fn curve(outcome: &Outcome) -> Option<Section> {
    let is_sequence =
        outcome.write.as_ref().is_some_and(|write| write.grouping == Grouping::Sequential);
    if !is_sequence || outcome.groups.len() < 2 {
        return None;
    }
    let columns = [
        Column::of("drift", Unit::Nats),
        Column::of("perplexity", Unit::Plain(2)),
        Column::of("fluency", Unit::Plain(2)),
        Column::of("|ΔW|/|W|", Unit::Plain(3)),
    ];
    let mut table = Table::of_items("facts", columns);
    let first = outcome.groups.first().and_then(|group| group.damage.as_ref());
    table.push(
        Row::new("none")
            .cell(Cell::Empty)
            .cell(first.map(|damage| damage.perplexity_before))
            .cell(outcome.fluency_before)
            .cell(Cell::Empty),
    );
    let (mut facts, mut drifts) = (0, Vec::new());
    for group in &outcome.groups {
        facts += group.facts.len();
        let damage = group.damage.as_ref();
        drifts.extend(damage.map(|damage| [facts as f64, damage.drift.mean]));
        table.push(
            Row::new(facts.to_string())
                .cell(damage.map(|damage| damage.drift.mean))
                .cell(damage.map(|damage| damage.perplexity_after))
                .cell(group.fluency)
                .cell(largest(group)),
        );
    }
    let (x, y) = (Axis::new("facts", Unit::Count), Axis::new("drift", Unit::Nats));
    let mut figure = Figure::lines("Drift by batch", x, y);
    figure.series.push(Series::new("drift", drifts));
    let section = Section::titled("After each batch:").block(figure);
    Some(match outcome.groups.len() > MANY {
        true => section,
        false => section.block(table),
    })
}

/// The relative norm ‖ΔW‖/‖W‖ of the layer that changed most.
fn largest(group: &GroupOutcome) -> f64 {
    group.relative_norms.iter().copied().fold(0., f64::max)
}

/// Other subjects whose answer changed.
fn moved(outcome: &Outcome) -> Option<Section> {
    /// Number of changed answers that are listed.
    const SHOWN: usize = 4;
    let found = outcome.cases.iter().filter_map(|case| case.after.as_ref()?.background.as_ref());
    let moved: Vec<_> = found.flat_map(|background| &background.moved).collect();
    if moved.is_empty() {
        return None;
    }
    let line = |it: &&crate::probe::Moved| {
        format!("{:?}: {:?} before, {:?} after", it.prompt, it.before.trim(), it.after.trim())
    };
    let mut lines: Vec<String> = moved.iter().take(SHOWN).map(line).collect();
    if moved.len() > SHOWN {
        lines.push("More of them are in the output of --json.".into());
    }
    Some(Section::titled("Other subjects whose answer moved:").block(lines.join("\n")))
}
