//! Sites of a forward pass that can be recorded or substituted.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

/// A place in a layer that every token passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// Output of attention's last projection, [rows, hidden], before any norm.
    AttentionOutput,
    /// Input of the down projection, [rows, intermediate].
    Key,
    /// Output of the down projection, [rows, hidden], before any norm.
    Value,
    /// The residual stream after the layer, [rows, hidden].
    Residual,
}

/// What a [`Visitor`] wants done.
pub enum Visit {
    /// Go on with the rows as they are.
    Keep,
    /// Go on with these rows; gradients flow to them.
    Substitute(Tensor),
    /// Stop the run: nothing more is needed.
    Stop,
}

/// Sees every site of a run, in order.
pub trait Visitor {
    /// `rows` are those of the batch at this layer and site.
    fn visit(&mut self, layer: usize, site: Site, rows: &Tensor) -> Result<Visit>;
}

/// A visitor that looks at nothing.
pub struct Unobserved;

impl Visitor for Unobserved {
    fn visit(&mut self, _layer: usize, _site: Site, _rows: &Tensor) -> Result<Visit> {
        Ok(Visit::Keep)
    }
}

/// Keeps the rows of chosen sites; optionally stops after the last of them.
#[derive(Default)]
pub struct Recorder {
    wanted: Vec<(usize, Site)>,
    stops: bool,
    records: BTreeMap<(usize, Site), Tensor>,
}

impl Recorder {
    /// Records these sites and lets the run finish.
    pub fn of(wanted: impl IntoIterator<Item = (usize, Site)>) -> Self {
        Self { wanted: wanted.into_iter().collect(), ..Self::default() }
    }

    /// Records these sites and stops the run as soon as all are seen.
    pub fn only(wanted: impl IntoIterator<Item = (usize, Site)>) -> Self {
        Self { stops: true, ..Self::of(wanted) }
    }

    /// The rows seen at a site.
    pub fn take(&mut self, layer: usize, site: Site) -> Result<Tensor> {
        match self.records.remove(&(layer, site)) {
            Some(rows) => Ok(rows),
            None => candle_core::bail!("{site:?} of layer {layer} was not recorded"),
        }
    }
}

impl Visitor for Recorder {
    fn visit(&mut self, layer: usize, site: Site, rows: &Tensor) -> Result<Visit> {
        if self.wanted.contains(&(layer, site)) {
            self.records.insert((layer, site), rows.clone());
        }
        let is_done = self.stops && self.records.len() == self.wanted.len();
        Ok(if is_done { Visit::Stop } else { Visit::Keep })
    }
}

/// Adds one vector to chosen rows of a site.
pub struct AddToRows {
    /// The layer of the site.
    pub layer: usize,
    /// The site whose rows change.
    pub site: Site,
    /// Mask of the rows, [rows, 1]: 1 where the vector is added, 0 elsewhere.
    mask: Tensor,
    /// The vector that is added, [1, width].
    vector: Tensor,
}

impl AddToRows {
    /// Adds `vector` `[width]` to `rows` of a batch of `batch_rows` rows.
    pub fn new(
        (layer, site): (usize, Site),
        rows: &[usize],
        batch_rows: usize,
        vector: &Tensor,
    ) -> Result<Self> {
        let mut mask = vec![0f32; batch_rows];
        rows.iter().for_each(|row| mask[*row] = 1.);
        let mask = Tensor::from_vec(mask, (batch_rows, 1), vector.device())?;
        Ok(Self { layer, site, mask, vector: vector.unsqueeze(0)? })
    }

    /// The rows `to` with the vector added.
    pub fn apply(&self, to: &Tensor) -> Result<Tensor> {
        to + self.mask.matmul(&self.vector)?
    }
}

impl Visitor for AddToRows {
    fn visit(&mut self, layer: usize, site: Site, rows: &Tensor) -> Result<Visit> {
        if (layer, site) == (self.layer, self.site) {
            return Ok(Visit::Substitute(self.apply(rows)?));
        }
        Ok(Visit::Keep)
    }
}
