//! Figures of a report: series of points with axes, before anything is drawn.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::table::Unit;

/// How a figure is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FigureKind {
    /// One line for each series.
    Lines,
    /// One bar for each point.
    Bars,
    /// One dot for each point.
    Scatter,
    /// One row for each series, one field for each point, shaded by its second number.
    Heat,
}

/// One axis of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Axis {
    /// Name of the axis.
    pub label: String,
    /// Unit of the axis.
    pub unit: Unit,
    /// Names of the positions 0, 1, 2, ...; empty where the axis is a number line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ticks: Vec<String>,
}

impl Axis {
    /// A number line.
    pub fn new(label: impl Into<String>, unit: Unit) -> Self {
        Self { label: label.into(), unit, ticks: Vec::new() }
    }

    /// A position as text.
    pub fn format(&self, at: f64) -> String {
        let tick = (at >= 0.).then(|| self.ticks.get(at as usize)).flatten();
        tick.cloned().unwrap_or_else(|| self.unit.format(at))
    }
}

/// Points of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Name of the series.
    pub label: String,
    /// Pairs of x and y.
    #[serde(deserialize_with = "points")]
    pub points: Vec<[f64; 2]>,
}

impl Series {
    /// Points in the order of their x.
    pub fn new(
        label: impl Into<String>,
        points: impl IntoIterator<Item = impl Into<[f64; 2]>>,
    ) -> Self {
        Self { label: label.into(), points: points.into_iter().map(Into::into).collect() }
    }
}

/// Points as JSON holds them, which writes a number that is none as `null`.
fn points<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<[f64; 2]>, D::Error> {
    let points = Vec::<[Option<f64>; 2]>::deserialize(from)?;
    Ok(points.into_iter().map(|point| point.map(|it| it.unwrap_or(f64::NAN))).collect())
}

/// Series over two axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// Title of the figure.
    pub title: String,
    /// Kind of drawing.
    pub kind: FigureKind,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The series of the figure.
    pub series: Vec<Series>,
}

impl Figure {
    /// Lines without points.
    pub fn lines(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), kind: FigureKind::Lines, x, y, series: Vec::new() }
    }

    /// The figure drawn in another way.
    pub fn drawn_as(self, kind: FigureKind) -> Self {
        Self { kind, ..self }
    }
}
