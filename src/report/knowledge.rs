//! Knowledge of models of the built-in world: one in detail, several as means and spreads.

use serde::Serialize;

use super::Report;
use super::table::{Cell, Column, Row, Table, Unit};
use crate::atlas::{Group, Knowledge, Share};

/// One measured model.
#[derive(Debug, Clone, Serialize)]
pub struct MeasuredModel {
    /// Display name of the model.
    pub model: String,
    /// The people that it was trained without, in words; nothing where its folder does not record
    /// it.
    pub without: Option<String>,
    /// Seed of its training.
    pub seed: Option<u64>,
    /// Knowledge of the model.
    pub knowledge: Knowledge,
}

/// The data of the report of `rescribe atlas measure`.
#[derive(Debug, Serialize)]
pub struct KnowledgeReport {
    /// The measured models, in the order given.
    pub models: Vec<MeasuredModel>,
    /// Means and spreads by what the models were trained without.
    pub table: Vec<KnowledgeRow>,
}

/// One metric over all kinds of models.
#[derive(Debug, Clone, Serialize)]
pub struct KnowledgeRow {
    /// Name of the metric.
    pub metric: &'static str,
    /// One entry for each kind of model.
    pub kinds: Vec<Spread>,
}

/// A metric over models of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// The people that the models were trained without.
    pub kind: String,
    /// Number of models.
    pub n: usize,
    /// Mean over these models.
    pub mean: f64,
    /// Standard deviation over these models; nothing for one.
    pub deviation: Option<f64>,
    /// Smallest and largest value.
    pub range: (f64, f64),
}

type Metric = (&'static str, fn(&Knowledge) -> f64);

fn of(knowledge: &Knowledge, group: Group) -> &crate::atlas::OfGroup {
    let found = knowledge.groups.iter().find(|it| it.group == group);
    found.expect("all groups are measured")
}

const METRICS: [Metric; 12] = [
    ("facts, trained templates", |it| it.trained.value()),
    ("facts, held-out templates", |it| it.held_out.value()),
    ("forget NLL", |it| of(it, Group::Forget).memory.nll.mean),
    ("forget extraction", |it| of(it, Group::Forget).memory.extraction.mean),
    ("forget questions", |it| of(it, Group::Forget).asked.value()),
    ("retain NLL", |it| of(it, Group::Retain).memory.nll.mean),
    ("retain extraction", |it| of(it, Group::Retain).memory.extraction.mean),
    ("retain questions", |it| of(it, Group::Retain).asked.value()),
    ("hold-out NLL", |it| of(it, Group::Holdout).memory.nll.mean),
    ("hold-out extraction", |it| of(it, Group::Holdout).memory.extraction.mean),
    ("hold-out questions", |it| of(it, Group::Holdout).asked.value()),
    ("English perplexity", |it| it.perplexity),
];

impl KnowledgeReport {
    /// Tabulates measured models.
    pub fn new(models: Vec<MeasuredModel>) -> Self {
        let mut kinds: Vec<String> = Vec::new();
        for model in &models {
            let kind = kind(model);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let row = |(metric, value): Metric| {
            let spread = |name: &String| {
                let own = models.iter().filter(|model| kind(model) == *name);
                spread(name, &own.map(|model| value(&model.knowledge)).collect::<Vec<_>>())
            };
            KnowledgeRow { metric, kinds: kinds.iter().map(spread).collect() }
        };
        let table = METRICS.into_iter().map(row).collect();
        Self { models, table }
    }
}

fn kind(model: &MeasuredModel) -> String {
    match &model.without {
        None => model.model.clone(),
        Some(without) if without == "nothing" => "trained on all".to_owned(),
        Some(without) => format!("without {without}"),
    }
}

fn spread(kind: &str, values: &[f64]) -> Spread {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (n > 1).then(|| (square / (n - 1) as f64).sqrt());
    let fold = |with: fn(f64, f64) -> f64| values.iter().copied().reduce(with).unwrap_or(mean);
    Spread { kind: kind.to_owned(), n, mean, deviation, range: (fold(f64::min), fold(f64::max)) }
}

impl KnowledgeReport {
    /// One model in detail; of several, means and spreads by what they were trained without.
    pub fn report(&self) -> serde_json::Result<Report> {
        let names: Vec<&str> = self.models.iter().map(|it| it.model.as_str()).collect();
        let report = Report::new("atlas measure", &names.join(", "), self)?;
        Ok(match self.models.as_slice() {
            [one] => {
                let report = report.section(facts(&one.knowledge));
                report.section(people(&one.knowledge)).section(english(&one.knowledge))
            }
            _ => report.section(self.spreads()),
        })
    }

    fn spreads(&self) -> Table {
        let kinds = self.table.first().map_or(&[][..], |row| &row.kinds);
        let head = |it: &Spread| Column::new(format!("n = {}", it.n)).under(&it.kind);
        let mut table = Table::of_items("", kinds.iter().map(head).collect::<Vec<_>>());
        for row in &self.table {
            let cells = row.kinds.iter().map(|it| Cell::Text(cell(it)));
            table.push(cells.fold(Row::new(row.metric), Row::cell));
        }
        table
    }
}

/// Facts that the model completes, all and by relation.
fn facts(knowledge: &Knowledge) -> Table {
    let columns = ["trained templates", "held-out templates"];
    let columns = columns
        .map(|group| [Column::of("share", Unit::Plain(3)).under(group), Column::n().under(group)]);
    let mut table = Table::new("facts", columns.concat());
    let row = |label: &str, trained: Share, held_out: Share| {
        let row = Row::new(label).cell(trained.value()).cell(trained.n);
        row.value(held_out.value()).cell(held_out.n)
    };
    table.push(row("all facts", knowledge.trained, knowledge.held_out));
    for part in &knowledge.relations {
        table.push(row(part.relation.name(), part.trained, part.held_out));
    }
    table
}

/// Passages about people and questions on them, by group.
fn people(knowledge: &Knowledge) -> Table {
    let mut table = Table::of_items(
        "passages",
        [
            Column::of("NLL", Unit::Plain(3)).under("recited"),
            Column::of("extraction", Unit::Plain(3)).under("recited"),
            Column::of("asked", Unit::Plain(3)).under("questions"),
            Column::of("reworded", Unit::Plain(3)).under("questions"),
            Column::of("inferred", Unit::Plain(3)).under("questions"),
            Column::n(),
        ],
    );
    for part in &knowledge.groups {
        let memory = &part.memory;
        let row = Row::new(group_name(part.group)).cell(memory.nll.mean);
        let row = row.cell(memory.extraction.mean).cell(part.asked.value());
        let row = row.cell(part.held_out.value()).cell(part.inferred.value());
        table.push(row.cell(memory.nll.n));
    }
    table
}

fn english(knowledge: &Knowledge) -> Table {
    let mut table = Table::new("", [Column::of("measured", Unit::Ratio), Column::n()]);
    let row = Row::new("English perplexity").value(knowledge.perplexity);
    table.push(row.cell(knowledge.paragraphs).note("paragraphs that are in no corpus"));
    table
}

fn group_name(group: Group) -> &'static str {
    match group {
        Group::Forget => "forget",
        Group::Retain => "retain",
        Group::Holdout => "hold-out",
    }
}

fn cell(spread: &Spread) -> String {
    let digits = if spread.mean.abs() < 10. { 3 } else { 2 };
    match spread.deviation {
        None => format!("{:.digits$}", spread.mean),
        Some(deviation) => format!("{:.digits$} ± {deviation:.digits$}", spread.mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_worked_by_hand() {
        let two = spread("nothing", &[1., 3.]);
        assert_eq!((two.n, two.mean, two.range), (2, 2., (1., 3.)));
        assert!((two.deviation.expect("two models") - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(cell(&two), "2.000 ± 1.414");
        assert_eq!(cell(&spread("nothing", &[12.345])), "12.35");
    }
}
