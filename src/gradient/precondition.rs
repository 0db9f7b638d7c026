//! Steps that keep away from what general text uses.
//!
//! A linear map that reads rows x changes its output on general text by tr(ΔW C ΔWᵀ) on average,
//! where C = E[x xᵀ] there. A few directions hold most of C, and the gradient of any text points
//! along them. A step is therefore taken in a variable A with
//!
//! ```text
//! W = W₀ + A P,   P = s (C / c + μ)^-½,   c = tr C / n,   n the width of x
//! ```
//!
//! with s such that tr P² = n: what directions of general text lose the others gain, and a step of AdamW
//! has the size that it would have without P.
//!
//! The gradient of A is G P, AdamW turns it into a step U of A, and W changes by U P: the same training
//! in coordinates in which a direction counts the less the more of general text lies along it. This is
//! the input side of K-FAC (arXiv 1503.05671). C is that of the model from which the training begins,
//! where text that is retained counts as general: without it the retain set is lost sooner.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use candle_core::Tensor;
use rayon::prelude::*;

use super::TrainError;
use super::example::Example;
use crate::math::{
    AdamW, Moments, Step, SymmetricEigen, add_gram, matmul_nn, matmul_nt, matmul_tn,
};
use crate::model::{Batch, Decoder, Parameter, Parameters, Role, Slot, TrainRule};
use crate::ops::with_values;
use crate::progress::Progress;

/// μ. It was chosen on 16 passages that the built-in model learnt: with 0.1 to 0.3 the same recital
/// costs more drift, with 0.01 less is learnt in as many steps.
const DAMPING: f64 = 0.03;
/// Rows of general text from which C comes.
const ROWS: usize = 2048;
/// Widest input that has all of P. The products of a step with P cost 2 n / 3 T of those of T tokens
/// with the weights.
const WHOLE: usize = 1536;
/// Directions of a wider one; the others count as their mean does.
const LEADING: usize = 256;

/// The inputs of the trained matrices, as general text uses them.
#[derive(Default)]
pub(super) struct Preconditioner {
    /// One for each parameter; none where it meets no input.
    sides: Vec<Option<Side>>,
}

/// P of one parameter.
#[derive(Clone)]
pub(super) struct Side {
    metric: Arc<Metric>,
    /// The axis of the parameter that meets the input.
    axis: usize,
}

/// P: `rest` 1 + Vᵀ diag(`excess`) V for unit rows of V.
#[derive(Debug, Clone, PartialEq)]
struct Metric {
    width: usize,
    form: Form,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// [width, width].
    Whole(Vec<f32>),
    /// V [directions, width], and what each has beyond `rest`.
    Leading { directions: Vec<f32>, excess: Vec<f32>, rest: f32 },
}

impl Preconditioner {
    /// P of each parameter from what `start` reads in `general` text and in what is retained; nothing
    /// where there is no general text.
    pub(super) fn new(
        start: &Decoder,
        (general, retain): (&[Example], &[Example]),
        parameters: &[Parameter],
        progress: &dyn Progress,
    ) -> Result<Self, TrainError> {
        let read = |parameter: &Parameter| {
            let role = parameter.slot.role.reads_with()?;
            Some((parameter.slot.layer?, role, parameter.input_axis()?))
        };
        let all: Vec<Option<(usize, Role, usize)>> = parameters.iter().map(read).collect();
        let layers: BTreeSet<usize> = all.iter().flatten().map(|(layer, ..)| *layer).collect();
        let texts = chosen(general, retain);
        if texts.is_empty() || layers.is_empty() {
            return Ok(Self::default());
        }
        let batch = Batch::new(&texts);
        let end = layers.last().map_or(0, |last| last + 1);
        progress.phase("general inputs", Some(end as u64));
        let mut hidden = start.embed(&batch)?;
        let mut metrics = HashMap::new();
        for layer in 0..end {
            progress.check()?;
            let (after, inputs) = start.inputs_of_layer(layer, hidden, &batch)?;
            hidden = after;
            if layers.contains(&layer) {
                let found =
                    |(role, rows): (Role, Tensor)| Ok((role, Arc::new(Metric::new(&rows)?)));
                let found: Result<Vec<_>, TrainError> = inputs.into_par_iter().map(found).collect();
                metrics.extend(found?.into_iter().map(|(role, it)| ((layer, role), it)));
            }
            progress.advance(layer as u64 + 1, "layers");
        }
        let side = |one: Option<(usize, Role, usize)>| {
            let (layer, role, axis) = one?;
            Some(Side { metric: metrics.get(&(layer, role))?.clone(), axis })
        };
        Ok(Self { sides: all.into_iter().map(side).collect() })
    }

    /// P of the parameter at this place.
    pub(super) fn side(&self, parameter: usize) -> Option<&Side> {
        self.sides.get(parameter)?.as_ref()
    }
}

/// Numbers that a preconditioner of what `rule` trains holds.
pub(super) fn numbers(parameters: &Parameters, rule: &TrainRule) -> usize {
    let trained = parameters.iter().filter(|slot| rule.trains(slot) && slot.is_matrix());
    let input = |slot: &Slot| {
        let width = slot.layout.widths((slot.shape[0], slot.shape[1])).0;
        Some(((slot.layer?, slot.role.reads_with()?), width))
    };
    let widths: HashMap<_, usize> = trained.filter_map(input).collect();
    widths.values().map(|width| width * if *width <= WHOLE { *width } else { LEADING }).sum()
}

/// The first sequences, up to `ROWS` tokens: one that is retained for two of general text.
fn chosen<'a>(general: &'a [Example], retain: &'a [Example]) -> Vec<&'a [u32]> {
    let mut retain = retain.iter();
    let both = general.chunks(2).flat_map(|pair| pair.iter().chain(retain.next()));
    let mut rows = 0;
    let fits = |example: &&Example| {
        rows += example.fed().len();
        rows <= ROWS
    };
    both.take_while(fits).map(Example::fed).collect()
}

impl Side {
    /// One step of AdamW in A; leaves the gradient at zero.
    pub(super) fn step(
        &self,
        values: &mut [f32],
        gradient: &mut [f32],
        moments: &mut Moments,
        optimiser: &AdamW,
        step: Step,
    ) {
        self.apply(gradient);
        let mut change = vec![0.; values.len()];
        let decay = optimiser.decay(step) as f32;
        optimiser.update(&mut change, gradient, moments, Step { decays: false, ..step });
        self.apply(&mut change);
        for (value, change) in values.iter_mut().zip(change) {
            *value = decay * *value + change;
        }
    }

    /// x ← x P along the axis that meets the input.
    pub(super) fn apply(&self, x: &mut [f32]) {
        let n = self.metric.width;
        let m = x.len() / n;
        if let Form::Leading { excess, rest, .. } = &self.metric.form
            && excess.is_empty()
        {
            return x.iter_mut().for_each(|x| *x *= rest);
        }
        let mut out = vec![0.; x.len()];
        match (&self.metric.form, self.axis) {
            (Form::Whole(p), 0) => matmul_nn(&mut out, p, &*x, n, m, n),
            (Form::Whole(p), _) => matmul_nn(&mut out, &*x, p.as_slice(), m, n, n),
            (Form::Leading { directions, excess, rest }, axis) => {
                let r = excess.len();
                let mut along = vec![0.; r * m];
                if axis == 0 {
                    matmul_nn(&mut along, directions, &*x, r, m, n);
                    along.chunks_exact_mut(m).zip(excess).for_each(|(row, excess)| {
                        row.iter_mut().for_each(|value| *value *= excess);
                    });
                    matmul_tn(&mut out, directions, &along, n, m, r);
                } else {
                    matmul_nt(&mut along, &*x, directions.as_slice(), m, r, n);
                    along.chunks_exact_mut(r).for_each(|row| {
                        row.iter_mut().zip(excess).for_each(|(value, excess)| *value *= excess);
                    });
                    matmul_nn(&mut out, &along, directions.as_slice(), m, n, r);
                }
                out.iter_mut().zip(&*x).for_each(|(out, x)| *out += rest * x);
            }
        }
        x.copy_from_slice(&out);
    }
}

impl Metric {
    /// P of inputs whose rows on general text are `rows` [T, n].
    fn new(rows: &Tensor) -> Result<Self, TrainError> {
        let (count, width) = rows.dims2()?;
        let rows = rows.contiguous()?;
        let form = with_values(&rows, "inputs", |rows| {
            Ok(match width <= WHOLE {
                true => whole(rows, count, width),
                false => leading(rows, count, width, LEADING),
            })
        })?;
        Ok(Self { width, form: form? })
    }
}

/// The factor of P along each direction that holds so much of general text, relative to the mean, and
/// along each of `others` that hold `rest`; their mean square is 1.
fn factors(values: &[f64], (others, rest): (usize, f64)) -> (Vec<f64>, f64) {
    let damped = |value: f64| (value.max(0.) + DAMPING).recip().sqrt();
    let (mut factors, mut rest): (Vec<f64>, f64) =
        (values.iter().copied().map(damped).collect(), damped(rest));
    let squares = factors.iter().map(|it| it * it).sum::<f64>() + others as f64 * rest * rest;
    let size = (squares / (values.len() + others) as f64).sqrt();
    factors.iter_mut().chain([&mut rest]).for_each(|it| *it /= size);
    (factors, rest)
}

/// P from the eigenvectors of XᵀX.
fn whole(rows: &[f32], count: usize, width: usize) -> Result<Form, TrainError> {
    let mut moment = vec![0f64; width * width];
    add_gram(&mut moment, rows, count, width);
    let mean = (0..width).map(|i| moment[i * (width + 1)]).sum::<f64>() / width as f64;
    let eigen = eigen(moment, width)?;
    let relative = |value: &f64| if mean > 0. { value / mean } else { 0. };
    let values: Vec<f64> = eigen.values.iter().map(relative).collect();
    let (factors, _) = factors(&values, (0, 0.));
    let plain: Vec<f32> = eigen.vectors.iter().map(|it| *it as f32).collect();
    let mut scaled = plain.clone();
    for (row, factor) in scaled.chunks_exact_mut(width).zip(factors) {
        row.iter_mut().for_each(|it| *it *= factor as f32);
    }
    let mut p = vec![0.; width * width];
    matmul_tn(&mut p, &plain, &scaled, width, width, width);
    Ok(Form::Whole(p))
}

/// The leading directions from the eigenvectors u of XXᵀ: v = Xᵀu / √λ.
fn leading(rows: &[f32], count: usize, width: usize, most: usize) -> Result<Form, TrainError> {
    let columns = transposed(rows, count, width);
    let mut moment = vec![0f64; count * count];
    add_gram(&mut moment, &columns, width, count);
    let trace: f64 = (0..count).map(|i| moment[i * (count + 1)]).sum();
    let eigen = eigen(moment, count)?;
    let mean = trace / width as f64;
    // Values ascend; those that are rounding alone give no direction.
    let chosen = (0..count).rev().take(most.min(width));
    let chosen: Vec<usize> =
        chosen.filter(|at| eigen.values[*at] > 1e-9 * trace.max(f64::MIN_POSITIVE)).collect();
    let held: f64 = chosen.iter().map(|at| eigen.values[*at]).sum();
    let others = width - chosen.len();
    let relative = |value: f64| if mean > 0. { value / mean } else { 0. };
    let values: Vec<f64> = chosen.iter().map(|at| relative(eigen.values[*at])).collect();
    let rest = relative((trace - held) / others.max(1) as f64);
    let (factors, rest) = factors(&values, (others, rest));
    let mut weights = Vec::with_capacity(chosen.len() * count);
    for at in &chosen {
        let root = eigen.values[*at].sqrt();
        let vector = &eigen.vectors[at * count..(at + 1) * count];
        weights.extend(vector.iter().map(|it| (it / root) as f32));
    }
    let excess = factors.iter().map(|factor| (factor - rest) as f32).collect();
    let mut directions = vec![0.; chosen.len() * width];
    matmul_nn(&mut directions, &weights, rows, chosen.len(), width, count);
    Ok(Form::Leading { directions, excess, rest: rest as f32 })
}

fn transposed(rows: &[f32], count: usize, width: usize) -> Vec<f32> {
    let mut out = vec![0.; rows.len()];
    out.par_chunks_exact_mut(count).enumerate().for_each(|(column, out)| {
        out.iter_mut().enumerate().for_each(|(row, it)| *it = rows[row * width + column]);
    });
    out
}

fn eigen(moment: Vec<f64>, n: usize) -> Result<SymmetricEigen, TrainError> {
    SymmetricEigen::new(moment, n).map_err(|error| {
        let reason = format!("the inputs of general text have no second moment: {error}");
        TrainError::Compute(candle_core::Error::Msg(reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose columns are correlated and of unlike size.
    fn rows(count: usize, width: usize) -> Vec<f32> {
        let wave = |i: usize, j: usize| ((i * 31 + j * 17) as f32 * 0.37).sin();
        let entry = |at: usize| {
            let (i, j) = (at / width, at % width);
            2. + wave(i, j) / (1 + j) as f32 + 0.3 * wave(i + 5, j % 3)
        };
        (0..count * width).map(entry).collect()
    }

    fn matrix(form: Form, width: usize, axis: usize) -> Vec<f32> {
        let side = Side { metric: Arc::new(Metric { width, form }), axis };
        let mut identity: Vec<f32> =
            (0..width * width).map(|at| f32::from(u8::from(at % (width + 1) == 0))).collect();
        side.apply(&mut identity);
        identity
    }

    fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
        let entry = |at: usize| (0..n).map(|k| a[at / n * n + k] * b[k * n + at % n]).sum();
        (0..n * n).map(entry).collect()
    }

    #[test]
    fn general_text_counts_alike_in_all_directions() {
        let (count, n) = (50, 6);
        let x = rows(count, n);
        let p: Vec<f64> =
            matrix(whole(&x, count, n).expect("eigen"), n, 1).into_iter().map(f64::from).collect();
        let moment = |i: usize, j: usize| -> f64 {
            (0..count).map(|row| f64::from(x[row * n + i]) * f64::from(x[row * n + j])).sum()
        };
        let mean = (0..n).map(|i| moment(i, i)).sum::<f64>() / n as f64;
        let damped: Vec<f64> = (0..n * n)
            .map(|at| moment(at / n, at % n) / mean + if at % (n + 1) == 0 { DAMPING } else { 0. })
            .collect();
        // P (C/c + μ) P = s², and tr P² = n.
        let found = product(&product(&p, &damped, n), &p, n);
        for (at, entry) in found.iter().enumerate() {
            let expected = if at % (n + 1) == 0 { found[0] } else { 0. };
            assert!((entry - expected).abs() < 1e-5, "{at}: {entry}, expected {expected}");
        }
        let square: f64 = p.iter().map(|entry| entry * entry).sum();
        assert!((square / n as f64 - 1.).abs() < 1e-5, "{square}");
    }

    #[test]
    fn all_leading_directions_are_the_whole() {
        let (count, n) = (50, 6);
        let x = rows(count, n);
        let whole = matrix(whole(&x, count, n).expect("eigen"), n, 1);
        for axis in [0, 1] {
            let leading = matrix(leading(&x, count, n, n).expect("eigen"), n, axis);
            for (whole, leading) in whole.iter().zip(&leading) {
                assert!((whole - leading).abs() < 1e-4, "{whole} and {leading}");
            }
        }
    }

    #[test]
    fn directions_that_are_left_out_count_as_their_mean() {
        let (count, n) = (50, 6);
        let form = leading(&rows(count, n), count, n, 2).expect("eigen");
        let Form::Leading { excess, rest, .. } = &form else { panic!("few directions") };
        assert_eq!(excess.len(), 2);
        assert!(excess.iter().all(|it| *it < 0.) && *rest > 1., "{form:?}");
        let squares: f32 = excess.iter().map(|it| (it + rest).powi(2)).sum();
        let squares = squares + (n - 2) as f32 * rest * rest;
        assert!((squares / n as f32 - 1.).abs() < 1e-5, "{squares}");
    }

    #[test]
    fn a_third_of_what_is_read_is_retained() {
        let of = |count: usize, first: u32| -> Vec<Example> {
            let ids = |at| vec![first + at; 101];
            let example = |at| Example {
                ids: ids(at),
                first_target: 1,
                loss: crate::objective::TokenLoss::Mean,
                scale: 1.,
            };
            (0..count as u32).map(example).collect()
        };
        let (general, retain) = (of(30, 0), of(5, 100));
        let found: Vec<u32> = chosen(&general, &retain).iter().map(|ids| ids[0]).collect();
        assert_eq!(found[..8], [0, 1, 100, 2, 3, 101, 4, 5]);
        assert_eq!((found.len(), found[15..].to_vec()), (20, vec![10, 11, 12, 13, 14]));
        assert!(chosen(&[], &retain).is_empty());
    }

    #[test]
    fn silence_leaves_steps_as_they_are() {
        let n = 4;
        for form in [whole(&[0.; 8], 2, n), leading(&[0.; 8], 2, n, 2)] {
            let p = matrix(form.expect("eigen"), n, 1);
            let identity: Vec<f32> =
                (0..n * n).map(|at| f32::from(u8::from(at % (n + 1) == 0))).collect();
            assert_eq!(p, identity);
        }
    }
}
