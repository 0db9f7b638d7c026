//! Drawings of a page: SVG with words for those who do not see it, in the colours of the style sheet.

use maud::{Markup, html};

use crate::report::{Axis, Cell, Figure, FigureKind, Row, Series, Side, Table, Unit};

/// A share before and after, on a line from 0 to 1.
pub(super) struct Track {
    pub(super) before: Option<f64>,
    pub(super) after: f64,
    /// The ends of the interval around the second.
    pub(super) interval: Option<[f64; 2]>,
}

impl Track {
    /// That of a row whose numbers are shares or probabilities; nothing for other rows.
    pub(super) fn of(table: &Table, row: &Row) -> Option<Self> {
        let is_share = matches!(row.unit, Some(Unit::Share | Unit::Percent | Unit::Probability));
        let is_plain = table.columns.iter().all(|column| column.group.is_empty());
        let cells = || table.columns.iter().zip(&row.cells);
        let number = |wanted: Side| {
            cells().find_map(|(column, cell)| match cell {
                Cell::Number(value) if column.side == wanted && column.unit.is_none() => {
                    Some(*value)
                }
                _ => None,
            })
        };
        let after = number(Side::After).or(row.value)?;
        let interval = cells().find_map(|(_, cell)| match cell {
            Cell::Interval { low, high } => Some([*low, *high]),
            _ => None,
        });
        let is_inside = (0. ..=1.).contains(&after);
        let before = number(Side::Before);
        (is_share && is_plain && is_inside).then_some(Self { before, after, interval })
    }
}

/// Width of a track, and its margin for the dots.
const TRACK: (f64, f64) = (200., 6.);

/// A hollow dot before, a filled one after, and the interval around it.
pub(super) fn track(track: &Track) -> Markup {
    let (width, margin) = TRACK;
    let x = |value: f64| rounded(margin + value.clamp(0., 1.) * (width - 2. * margin));
    let words = match track.before {
        Some(before) => format!("from {before:.4} before to {:.4} after", track.after),
        None => format!("{:.4}", track.after),
    };
    html! {
        svg.track viewBox="0 0 200 16" role="img" aria-label=(words) {
            title { (words) }
            line.rail x1=(x(0.)) x2=(x(1.)) y1="8" y2="8" {}
            @if let Some([low, high]) = track.interval {
                line.interval x1=(x(low)) x2=(x(high)) y1="8" y2="8" {}
            }
            @if let Some(before) = track.before {
                line.step x1=(x(before)) x2=(x(track.after)) y1="8" y2="8" {}
                circle.dot-before cx=(x(before)) cy="8" r="4" {}
            }
            circle.dot-after cx=(x(track.after)) cy="8" r="4.5" {}
        }
    }
}

/// A number as an attribute of a drawing, which needs no more than a tenth of a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.).round() / 10.
}

/// Size of a figure, and the room for its axes.
const SIZE: [f64; 2] = [440., 230.];
const LEFT: f64 = 58.;
const RIGHT: f64 = 12.;
const TOP: f64 = 26.;
const BOTTOM: f64 = 38.;

/// A figure with its title, its words and its legend; nothing without points.
pub(super) fn figure(figure: &Figure) -> Markup {
    let points = figure.series.iter().flat_map(|series| &series.points);
    if !points.clone().any(|[x, y]| x.is_finite() && y.is_finite()) {
        return html! {};
    }
    let is_heat = figure.kind == FigureKind::Heat;
    html! {
        figure {
            h3 { (figure.title) }
            @if is_heat { (heat(figure)) } @else { (plot(figure)) }
            figcaption {
                (words(figure))
                @if figure.series.len() > 1 && !is_heat { (legend(figure)) }
            }
        }
    }
}

/// First, last, least and greatest number of each series, in words.
fn words(figure: &Figure) -> Markup {
    const TOLD: usize = 4;
    let unit = figure.y.unit;
    let line = |series: &Series| {
        let values = series.points.iter().map(|point| point[1]).filter(|value| value.is_finite());
        let values: Vec<f64> = values.collect();
        let (first, last) = (*values.first()?, *values.last()?);
        let ends = [
            values.iter().copied().fold(f64::INFINITY, f64::min),
            values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ];
        Some(match figure.kind {
            FigureKind::Lines => {
                format!("{}: from {} to {}", series.label, unit.format(first), unit.format(last))
            }
            FigureKind::Bars | FigureKind::Scatter | FigureKind::Heat => {
                format!("{}: {} to {}", series.label, unit.format(ends[0]), unit.format(ends[1]))
            }
        })
    };
    let lines: Vec<String> = figure.series.iter().take(TOLD).filter_map(line).collect();
    html! { @if figure.kind != FigureKind::Heat { (lines.join("; ")) "." } }
}

fn legend(figure: &Figure) -> Markup {
    html! {
        ul.legend {
            @for (at, series) in figure.series.iter().enumerate() {
                li { (swatch(figure.kind, at)) (series.label) }
            }
        }
    }
}

fn swatch(kind: FigureKind, at: usize) -> Markup {
    html! {
        svg width="28" height="12" viewBox="0 0 28 12" aria-hidden="true" {
            @if kind == FigureKind::Scatter { (mark(at, 14., 6.)) }
            @else { line.line.{ "s" (at % 4) } x1="1" x2="27" y1="6" y2="6" {} }
        }
    }
}

/// The range of an axis and how its numbers become places.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>, has_zero: bool, [from, to]: [f64; 2]) -> Self {
        let start = if has_zero { (0., 0.) } else { (f64::INFINITY, f64::NEG_INFINITY) };
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite.fold(start, |(low, high), it| (low.min(it), high.max(it)));
        let high = if high > low { high } else { low + 1. };
        Self { low, high, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        rounded(self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from))
    }

    /// Three to six round numbers in the range.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 4.;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1., 2., 5., 10.].into_iter().map(|it| it * power).find(|step| *step >= rough);
        let step = step.unwrap_or(10. * power);
        let first = (self.low / step).ceil() as i64;
        (first..first + 8).map(|at| at as f64 * step).take_while(|it| *it <= self.high).collect()
    }
}

/// Lines, bars or dots over two axes.
fn plot(figure: &Figure) -> Markup {
    let points = || figure.series.iter().flat_map(|series| &series.points);
    let is_bars = figure.kind == FigureKind::Bars;
    let has_zero = figure.kind != FigureKind::Scatter;
    let half = if is_bars { 0.5 } else { 0. };
    let xs = points().flat_map(|point| [point[0] - half, point[0] + half]);
    let x = Scale::of(xs, false, [LEFT, SIZE[0] - RIGHT]);
    let y = Scale::of(points().map(|point| point[1]), has_zero, [SIZE[1] - BOTTOM, TOP]);
    let label = format!("{}: {} by {}", figure.title, figure.y.label, figure.x.label);
    html! {
        svg viewBox={ "0 0 " (SIZE[0]) " " (SIZE[1]) } width=(SIZE[0]) height=(SIZE[1])
            role="img" aria-label=(label) {
            title { (label) }
            (axes(figure, &x, &y))
            @for (at, series) in figure.series.iter().enumerate() {
                @match figure.kind {
                    FigureKind::Bars => (bars(series, &x, &y)),
                    FigureKind::Scatter => (dots(series, at, (&x, &y), &figure.x)),
                    FigureKind::Lines | FigureKind::Heat => {
                        polyline.line.{ "s" (at % 4) } points=(path(series, &x, &y)) {}
                    },
                }
            }
        }
    }
}

fn path(series: &Series, x: &Scale, y: &Scale) -> String {
    let finite = series.points.iter().filter(|[a, b]| a.is_finite() && b.is_finite());
    let places = finite.map(|[a, b]| format!("{},{}", x.place(*a), y.place(*b)));
    places.collect::<Vec<_>>().join(" ")
}

fn bars(series: &Series, x: &Scale, y: &Scale) -> Markup {
    let floor = y.place(0.);
    html! {
        @for [at, value] in series.points.iter().filter(|[_, value]| value.is_finite()) {
            @let (left, right) = (x.place(at - 0.4), x.place(at + 0.4));
            @let top = y.place(*value);
            rect.fill x=(left) y=(top) width=(rounded(right - left)) height=(rounded(floor - top)) {}
        }
    }
}

fn dots(series: &Series, at: usize, (x, y): (&Scale, &Scale), axis: &Axis) -> Markup {
    html! {
        @for point in series.points.iter().filter(|[a, b]| a.is_finite() && b.is_finite()) {
            g {
                title { (series.label) ": " (axis.format(point[0])) }
                (mark(at, x.place(point[0]), y.place(point[1])))
            }
        }
    }
}

/// A dot of the first kind, a cross of the second: told apart without colours.
fn mark(kind: usize, x: f64, y: f64) -> Markup {
    html! {
        @match kind {
            0 => circle.fill cx=(x) cy=(y) r="3.5" fill-opacity="0.75" {},
            _ => path.cross d={ "M" (x - 4.) " " (y - 4.) "l8 8m0 -8l-8 8" } {},
        }
    }
}

fn axes(figure: &Figure, x: &Scale, y: &Scale) -> Markup {
    let (bottom, right) = (SIZE[1] - BOTTOM, SIZE[0] - RIGHT);
    html! {
        @for tick in y.ticks() {
            line.grid x1=(LEFT) x2=(right) y1=(y.place(tick)) y2=(y.place(tick)) {}
            text x=(LEFT - 6.) y=(y.place(tick) + 4.) text-anchor="end" {
                (number(tick, figure.y.unit))
            }
        }
        line.axis x1=(LEFT) x2=(right) y1=(bottom) y2=(bottom) {}
        @for tick in x.ticks() {
            text x=(x.place(tick)) y=(bottom + 16.) text-anchor="middle" {
                (number(tick, figure.x.unit))
            }
        }
        text x=(right) y=(SIZE[1] - 5.) text-anchor="end" { (figure.x.label) }
        text x="0" y="12" { (figure.y.label) }
    }
}

/// A round number of an axis, without the decimals that tables need.
fn number(tick: f64, unit: Unit) -> String {
    let tick = if tick.abs() < 1e-12 { 0. } else { tick };
    match unit {
        Unit::Percent => format!("{} %", short(100. * tick)),
        _ => short(tick),
    }
}

fn short(value: f64) -> String {
    if value != 0. && value.abs() < 1e-3 {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Room for the names of the rows of a heat map.
const NAMES: f64 = 134.;
const CELL: f64 = 22.;

/// A row for each series, a field for each point, the darker the greater its number.
fn heat(figure: &Figure) -> Markup {
    let rows = figure.series.len() as f64;
    let values = || figure.series.iter().flat_map(|series| series.points.iter().map(|it| it[1]));
    let finite = || values().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::MIN, f64::max));
    let xs = figure.series.iter().flat_map(|series| series.points.iter().map(|it| it[0]));
    let x = Scale::of(xs.flat_map(|it| [it - 0.5, it + 0.5]), false, [NAMES, SIZE[0] - 4.]);
    let height = rows * CELL + 34.;
    let label = format!("{}: {} by {}", figure.title, figure.y.label, figure.x.label);
    let shade = |value: f64| if high > low { (value - low) / (high - low) } else { 0. };
    html! {
        svg viewBox={ "0 0 " (SIZE[0]) " " (height) } width=(SIZE[0]) height=(height)
            role="img" aria-label=(label) {
            title { (label) }
            @for (row, series) in figure.series.iter().enumerate() {
                @let top = row as f64 * CELL;
                text x=(NAMES - 6.) y=(top + 15.) text-anchor="end" { (series.label) }
                @for [at, value] in series.points.iter().filter(|[_, value]| value.is_finite()) {
                    rect.heat x=(x.place(at - 0.5)) y=(top + 1.)
                        width=(rounded(x.place(at + 0.5) - x.place(at - 0.5) - 0.6)) height=(CELL - 2.)
                        fill-opacity=(rounded(10. * (0.06 + 0.94 * shade(*value))) / 10.) {
                        title { (series.label) ", " (figure.x.label) " " (figure.x.format(*at)) ": "
                                (figure.y.unit.format(*value)) }
                    }
                }
            }
            @for tick in x.ticks().into_iter().filter(|tick| tick.fract() == 0.) {
                text x=(x.place(tick)) y=(rows * CELL + 15.) text-anchor="middle" {
                    (figure.x.format(tick))
                }
            }
            text x=(SIZE[0] - 4.) y=(rows * CELL + 31.) text-anchor="end" { (figure.x.label) }
        }
        p.quiet {
            (figure.y.label) ": from " (figure.y.unit.format(low)) " (faint) to "
            (figure.y.unit.format(high)) " (strong)."
        }
    }
}
