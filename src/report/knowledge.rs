//! What models of the built-in world know: one in detail, several as a table of means and spreads.

use serde::Serialize;

use crate::atlas::{Group, Knowledge, Share};

/// One measured model.
#[derive(Debug, Clone, Serialize)]
pub struct MeasuredModel {
    /// As people call it.
    pub model: String,
    /// What it was trained without, in words; nothing where its folder does not say.
    pub without: Option<String>,
    /// Seed of its training.
    pub seed: Option<u64>,
    /// What it knows.
    pub knowledge: Knowledge,
}

/// `rescribe atlas measure`, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct KnowledgeReport {
    /// Version of this structure.
    pub schema: u32,
    /// In the order given.
    pub models: Vec<MeasuredModel>,
    /// Means and spreads by what the models were trained without.
    pub table: Vec<KnowledgeRow>,
}

/// One metric over all kinds of models.
#[derive(Debug, Clone, Serialize)]
pub struct KnowledgeRow {
    /// Its name.
    pub metric: &'static str,
    /// One entry a kind of model.
    pub kinds: Vec<Spread>,
}

/// A metric over models of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// What they were trained without.
    pub kind: String,
    /// Models.
    pub n: usize,
    /// Mean over them.
    pub mean: f64,
    /// Standard deviation over them; nothing for one.
    pub deviation: Option<f64>,
    /// Smallest and largest.
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
    /// Of measured models.
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
        Self { schema: 1, models, table }
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

const LABEL: usize = 26;

/// One model in detail.
pub fn knowledge_lines(model: &MeasuredModel) -> String {
    let knowledge = &model.knowledge;
    let mut out = format!("{:LABEL$}  {:>7} {:>6}\n", "", "share", "n");
    let mut line = |label: &str, share: Share, note: &str| {
        let text = format!("{label:>LABEL$}  {:>7.3} {:>6}  {note}", share.value(), share.n);
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line("facts, trained templates", knowledge.trained, "whole object by argmax");
    line("facts, held-out templates", knowledge.held_out, "in no corpus");
    for part in &knowledge.relations {
        line(part.relation.name(), part.trained, &format!("held out {:.3}", part.held_out.value()));
    }
    out.push_str(&format!(
        "\n{:LABEL$}  {:>7} {:>7} {:>7} {:>7} {:>7} {:>4}\n",
        "", "NLL", "extr.", "asked", "others", "follow", "n"
    ));
    for part in &knowledge.groups {
        out.push_str(&format!(
            "{:>LABEL$}  {:>7.3} {:>7.3} {:>7.3} {:>7.3} {:>7.3} {:>4}\n",
            format!("{} passages", group_name(part.group)),
            part.memory.nll.mean,
            part.memory.extraction.mean,
            part.asked.value(),
            part.held_out.value(),
            part.inferred.value(),
            part.memory.nll.n
        ));
    }
    let (perplexity, n) = (knowledge.perplexity, knowledge.paragraphs);
    out.push_str(&format!("{:>LABEL$}  {perplexity:>7.2} {n:>36}\n", "English perplexity"));
    out
}

fn group_name(group: Group) -> &'static str {
    match group {
        Group::Forget => "forget",
        Group::Retain => "retain",
        Group::Holdout => "hold-out",
    }
}

/// The table of means and spreads: mean ± standard deviation.
pub fn knowledge_table(report: &KnowledgeReport) -> String {
    let Some(first) = report.table.first() else { return String::new() };
    let width = 20.max((52 / first.kinds.len().max(1)).min(24));
    let head = |text: String| format!("  {text:>width$}");
    let mut out = format!("{:LABEL$}", "");
    out.extend(first.kinds.iter().map(|it| head(cut(&it.kind, width))));
    out.push_str(&format!("\n{:LABEL$}", ""));
    out.extend(first.kinds.iter().map(|it| head(format!("n = {}", it.n))));
    out.push('\n');
    for row in &report.table {
        out.push_str(&format!("{:>LABEL$}", row.metric));
        out.extend(row.kinds.iter().map(|it| head(cell(it))));
        out.push('\n');
    }
    out
}

/// The same as Markdown.
pub fn knowledge_markdown(report: &KnowledgeReport) -> String {
    let Some(first) = report.table.first() else { return String::new() };
    let mut out = String::from("| |");
    out.extend(first.kinds.iter().map(|it| format!(" {}, n = {} |", it.kind, it.n)));
    out.push_str("\n|---|");
    out.extend(first.kinds.iter().map(|_| "---|"));
    for row in &report.table {
        out.push_str(&format!("\n| {} |", row.metric));
        out.extend(row.kinds.iter().map(|it| format!(" {} |", cell(it))));
    }
    out + "\n"
}

fn cell(spread: &Spread) -> String {
    let digits = if spread.mean.abs() < 10. { 3 } else { 2 };
    match spread.deviation {
        None => format!("{:.digits$}", spread.mean),
        Some(deviation) => format!("{:.digits$} ± {deviation:.digits$}", spread.mean),
    }
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text.to_owned(),
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

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("without everybody", 8), "without…");
        assert_eq!(cut("without", 8), "without");
    }
}
