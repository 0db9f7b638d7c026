//! Details of a run that a page shows and a terminal leaves out: how the losses fell, which layers
//! changed by how much, and the texts that drifted most.

use super::{Axis, Column, Figure, FigureKind, Row, Section, Series, Table, Unit};
use crate::patch::TEXTS;
use crate::probe::WorstText;
use crate::progress::counted;
use crate::run::{FactOutcome, Outcome};

/// Facts whose losses are drawn.
const DRAWN: usize = 8;

/// Losses of value optimisations by step; nothing where all values came from the cache.
pub(super) fn loss_section(outcome: &Outcome) -> Option<Section> {
    let facts: Vec<&FactOutcome> = outcome.facts().filter(|fact| fact.path.len() > 1).collect();
    let (x, y) = (Axis::new("evaluation", Unit::Count), Axis::new("loss", Unit::Nats));
    let mut figure = Figure::lines("Loss of each value by evaluation", x, y);
    for (at, fact) in facts.iter().take(DRAWN).enumerate() {
        let points = (1..).zip(&fact.path).map(|(step, loss)| [f64::from(step), *loss]);
        let verb = if fact.is_erased { "erased" } else { "inserted" };
        figure.series.push(Series::new(format!("{verb} fact {}", at + 1), points));
    }
    let section = Section::detail("How the new values were found").block(figure);
    match facts.len() {
        0 => None,
        1..=DRAWN => Some(section),
        all => Some(section.block(format!("The first {DRAWN} of {}.", counted(all, "fact")))),
    }
}

/// How alike the keys of other subjects are to the edited one's, against what became of the lead of
/// their answers.
pub(super) fn bleed_section(outcome: &Outcome) -> Option<Section> {
    let x = Axis::new("cosine of the keys", Unit::Plain(2));
    let y = Axis::new("change of the answer's lead", Unit::Nats);
    let title = "Other subjects: likeness to the edited one, and what it did to their answer";
    let mut figure = Figure::lines(title, x, y).drawn_as(FigureKind::Scatter);
    for (label, is_kept) in [("answer stays", true), ("answer moved", false)] {
        let own = outcome.bleed.iter().filter(|it| (it.margin_after > 0.) == is_kept);
        let points = own.map(|it| [it.cosine, it.margin_after - it.margin_before]);
        figure.series.push(Series::new(label, points.collect::<Vec<_>>()));
    }
    let sentence = "Each mark is another subject under the same prompt. The change reaches a subject \
                    the more, the more alike its key and the edited subject's are.";
    let section = Section::detail("Why other subjects moved").block(figure);
    (!outcome.bleed.is_empty()).then(|| section.block(sentence.to_owned()))
}

/// The size of the change, layer by layer, of the model that holds all of it.
pub(super) fn layer_section(outcome: &Outcome) -> Option<Section> {
    let norms: Vec<[f64; 2]> =
        outcome.layer_norms.iter().map(|it| [it.layer as f64, it.relative_norm]).collect();
    if norms.iter().all(|[_, norm]| *norm == 0.) {
        return None;
    }
    let (x, y) = (Axis::new("layer", Unit::Count), Axis::new("‖ΔW‖ / ‖W‖", Unit::Percent));
    let title = "Size of the change, relative to the weights of its layer";
    let mut figure = Figure::lines(title, x, y).drawn_as(FigureKind::Bars);
    figure.series.push(Series::new("change", norms));
    Some(Section::detail("Where the weights changed").block(figure))
}

/// The general texts on which the model moved most.
pub(super) fn worst_section(outcome: &Outcome) -> Option<Section> {
    let worst = &outcome.damage.as_ref()?.worst;
    let columns = [
        Column::of("drift", Unit::Nats),
        Column::of("perplexity before", Unit::Plain(1)),
        Column::of("after", Unit::Plain(1)),
    ];
    let mut table = Table::of_items(TEXTS, columns);
    worst.iter().for_each(|it| table.push(row(it)));
    let title = "The general texts that drifted most";
    (!worst.is_empty()).then(|| Section::detail(title).block(table))
}

/// Characters of a text that are shown.
const SHOWN: usize = 160;

fn row(worst: &WorstText) -> Row {
    let text = worst.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = super::text::shortened(&text, SHOWN);
    let row = Row::new(text).cell(worst.kl);
    row.cell(worst.perplexity_before).cell(worst.perplexity_after)
}
