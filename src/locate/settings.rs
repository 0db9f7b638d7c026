//! How finely facts are traced: the settings, and what follows from them for a model.

use std::ops::RangeInclusive;

use super::TracedSite;
use super::positions::SubjectTokens;
use crate::model::Model;

/// Settings of a causal trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSettings {
    /// Draws of the noise.
    pub samples: usize,
    /// Standard deviation of the noise, as a multiple of that of the subjects' embeddings.
    pub noise: f64,
    /// Seed of the draws.
    pub seed: u64,
    /// Layers in the window of an MLP or attention; nothing: as large a share of the model as ten of
    /// the 48 layers of the publication.
    pub window: Option<usize>,
    /// Try every so manieth layer, at every token; nothing: as fine as a fixed amount of work allows.
    pub every: Option<usize>,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { samples: 10, noise: 3., seed: 0, window: None, every: None }
    }
}

/// Multiplications that the trace of one fact takes, about: five seconds on two cores.
const WORK: f64 = 3.5e11;

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) layers: Vec<usize>,
    pub(super) window: usize,
    /// Whether every token is traced, and not one of each class.
    pub(super) is_each_token: bool,
    depth: usize,
}

impl Grid {
    /// What is tried on facts of which `longest` has the most tokens.
    pub(super) fn new(model: &Model, longest: &SubjectTokens, settings: &TraceSettings) -> Self {
        let depth = model.decoder.config().layers;
        let share = (depth as f64 * 10. / 48.).round() as usize;
        let window = settings.window.unwrap_or(share).clamp(1, depth);
        let grid = |layers, is_each_token| Self { layers, window, is_each_token, depth };
        let every = |step: usize| (0..depth).step_by(step.max(1)).collect::<Vec<_>>();
        if let Some(step) = settings.every {
            return grid(every(step), true);
        }
        let work = Work::of(model, settings.samples);
        let fits = |grid: &Self| work.of_grid(grid, &longest.places(grid.is_each_token)) <= WORK;
        let fine = (1..=2).map(|step| grid(every(step), true));
        let coarse = (2..=depth).rev().map(|count| grid(evenly(depth, count), false));
        fine.chain(coarse).find(fits).unwrap_or_else(|| grid(every(depth), false))
    }

    /// Runs of one fact that are computed together: one for each kind of state and layer.
    pub(super) fn batches(&self) -> usize {
        TracedSite::ALL.len() * self.layers.len()
    }

    /// The layers whose states are restored around `layer`.
    pub(super) fn restored(&self, site: TracedSite, layer: usize) -> RangeInclusive<usize> {
        match site {
            TracedSite::Residual => layer..=layer,
            TracedSite::Mlp | TracedSite::Attention => {
                let first = layer.saturating_sub(self.window / 2);
                first..=(first + self.window - 1).min(self.depth - 1)
            }
        }
    }
}

/// So many layers of `depth`, the first and the last among them.
fn evenly(depth: usize, count: usize) -> Vec<usize> {
    (0..count).map(|at| (at * (depth - 1) + (count - 1) / 2) / (count - 1).max(1)).collect()
}

impl SubjectTokens {
    /// How many tokens are computed anew for each one that is traced: itself and those after it.
    fn places(&self, is_each: bool) -> Vec<usize> {
        let (subject, tokens) = (&self.subject, self.ids.len());
        match is_each {
            true => (subject.start..tokens).map(|it| tokens - it).collect(),
            // One token of each class, the first of them at the worst.
            false => {
                let first = [subject.start, subject.start + 1, subject.end - 1, subject.end];
                let last = [(subject.end + tokens) / 2, tokens - 1];
                let all = first.into_iter().chain(last);
                all.filter(|it| *it < tokens).map(|it| tokens - it).collect()
            }
        }
    }
}

/// What one run costs, in multiplications.
struct Work {
    samples: f64,
    layer: f64,
    head: f64,
    depth: usize,
}

impl Work {
    fn of(model: &Model, samples: usize) -> Self {
        let config = model.decoder.config();
        let slots = model.decoder.parameters().iter().filter(|slot| slot.layer == Some(0));
        Self {
            samples: samples as f64,
            layer: slots.map(|slot| slot.elements() as f64).sum(),
            head: (config.vocabulary * config.hidden) as f64,
            depth: config.layers,
        }
    }

    fn of_grid(&self, grid: &Grid, rows: &[usize]) -> f64 {
        let total = rows.iter().sum::<usize>() as f64;
        let of_site = |site| {
            let above = |layer: &usize| match site {
                TracedSite::Residual => self.depth - layer - 1,
                _ => self.depth - grid.restored(site, *layer).start(),
            };
            let layers = grid.layers.iter().map(above).sum::<usize>() as f64;
            layers * total * self.layer + grid.layers.len() as f64 * rows.len() as f64 * self.head
        };
        self.samples * TracedSite::ALL.into_iter().map(of_site).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_spread_over_the_whole_model() {
        assert_eq!(evenly(30, 5), [0, 7, 15, 22, 29]);
        assert_eq!(evenly(6, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(evenly(3, 2), [0, 2]);
    }

    #[test]
    fn a_window_stays_inside_the_model() {
        let grid = Grid { layers: vec![], window: 6, is_each_token: true, depth: 30 };
        assert_eq!(grid.restored(TracedSite::Mlp, 0), 0..=5);
        assert_eq!(grid.restored(TracedSite::Attention, 15), 12..=17);
        assert_eq!(grid.restored(TracedSite::Mlp, 29), 26..=29);
        assert_eq!(grid.restored(TracedSite::Residual, 29), 29..=29);
    }
}
