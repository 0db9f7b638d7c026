//! The predicted price of facts beside the measured drift: a row, a paragraph and a scatter.

use super::{Axis, Cell, Figure, FigureKind, Row, Section, Series, Unit};
use crate::run::{Outcome, PriceAgreement};

/// The row of the predicted drift; nothing where nothing was predicted.
pub(super) fn price_row(outcome: &Outcome, has_right_after: bool) -> Option<Row> {
    let price = outcome.price?;
    let n = outcome.groups.iter().filter(|group| group.price.is_some()).count();
    let is_mean = outcome.change.is_none() && n > 1;
    let row = Row::of("predicted drift", Unit::Nats).cell(Cell::Empty);
    let row = if has_right_after { row.cell(Cell::Empty) } else { row };
    let row = row.value(price.predicted).cell(is_mean.then_some(n)).cell(Cell::Empty);
    Some(row.note("estimated from statistics"))
}

/// How well prices and measured drifts agree over many models.
pub(super) fn price_section(outcome: &Outcome) -> Option<Section> {
    let PriceAgreement { n, correlation, norm_correlation, ratio } = outcome.price_agreement?;
    let [low, median, high] = ratio;
    let text = format!(
        "Over {n} models the drift was {median:.1} times its prediction at the median, and {low:.1} \
         to {high:.1} times for the middle half. Their logarithms have a correlation of \
         {correlation:.2}; with ‖ΔW‖² in place of the prediction it is {norm_correlation:.2}."
    );
    Some(Section::titled("Predicted and measured drift:").block(text))
}

/// A mark for each model, on logarithmic scales.
pub(super) fn price_figure(outcome: &Outcome) -> Option<Section> {
    outcome.price_agreement?;
    let x = Axis::new("log10 of the predicted drift", Unit::Plain(1));
    let y = Axis::new("log10 of the measured drift", Unit::Plain(1));
    let title = "Drift as predicted and as measured, in nats a token";
    let mut figure = Figure::lines(title, x, y).drawn_as(FigureKind::Scatter);
    let points = outcome.groups.iter().filter_map(|group| {
        let (predicted, drift) = (group.price?.predicted, group.damage.as_ref()?.drift.mean);
        (predicted > 0. && drift > 0.).then(|| [predicted.log10(), drift.log10()])
    });
    figure.series.push(Series::new("change", points.collect::<Vec<_>>()));
    let sentence = "Each mark is one model. The prediction needs only the change and statistics of \
                    the base, collected from other text than the drift is measured on.";
    let section = Section::detail("What the changes were predicted to cost").block(figure);
    Some(section.block(sentence.to_owned()))
}
