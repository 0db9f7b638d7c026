//! AdamW (Loshchilov & Hutter, arXiv 1711.05101) in place on slices: f32 masters and moments.
//!
//! g ← c · g;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;
//! x ← x − η λ x − η (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε),
//! where c clips the norm of the whole gradient. Elements do not depend on each other and sums are
//! made of fixed blocks, so results are the same to the bit on any number of threads.

use rayon::prelude::*;

/// The constants of an optimisation.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to √v̂.
    pub epsilon: f64,
    /// Weight decay λ, applied to x directly and not through the moments.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// The state of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The first moment, m.
    pub first: Vec<f32>,
    /// The second moment, v.
    pub second: Vec<f32>,
}

impl Moments {
    /// Zero moments for a tensor of so many elements.
    pub fn zeros(elements: usize) -> Self {
        Self { first: vec![0.; elements], second: vec![0.; elements] }
    }
}

/// What changes from step to step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The step t, from 1.
    pub number: u64,
    /// The learning rate η.
    pub rate: f64,
    /// The factor c, by which the gradient is scaled first.
    pub scale: f64,
    /// Whether λ applies to this tensor.
    pub decays: bool,
}

/// Elements that one task of the thread pool takes.
const BLOCK: usize = 1 << 15;

impl AdamW {
    /// What weight decay leaves of a value in this step, as a share.
    pub fn decay(&self, step: Step) -> f64 {
        if step.decays { 1. - step.rate * self.weight_decay } else { 1. }
    }

    /// One step of one tensor; leaves the gradient at zero, ready for the next sum.
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn update(&self, x: &mut [f32], gradient: &mut [f32], moments: &mut Moments, step: Step) {
        let lengths = [gradient.len(), moments.first.len(), moments.second.len()];
        assert_eq!(lengths, [x.len(); 3], "values, gradient and moments are of one length");
        let bias = |beta: f64| 1. - beta.powi(step.number.min(i32::MAX as u64) as i32);
        let (first_bias, second_bias) = (bias(self.beta1), bias(self.beta2));
        let decay = self.decay(step);
        let constants = Constants {
            scale: step.scale as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            rest1: (1. - self.beta1) as f32,
            rest2: (1. - self.beta2) as f32,
            decay: decay as f32,
            rate: (step.rate / first_bias) as f32,
            root: (1. / second_bias.sqrt()) as f32,
            epsilon: self.epsilon as f32,
        };
        let moments = moments.first.par_chunks_mut(BLOCK).zip(moments.second.par_chunks_mut(BLOCK));
        let values = x.par_chunks_mut(BLOCK).zip(gradient.par_chunks_mut(BLOCK));
        values.zip(moments).for_each(|((x, g), (m, v))| constants.update(x, g, m, v));
    }
}

struct Constants {
    scale: f32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    decay: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
}

impl Constants {
    fn update(&self, x: &mut [f32], g: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        for (((x, g), m), v) in x.iter_mut().zip(g).zip(m).zip(v) {
            let slope = self.scale * *g;
            *g = 0.;
            *m = self.beta1 * *m + self.rest1 * slope;
            *v = self.beta2 * *v + self.rest2 * slope * slope;
            *x = self.decay * *x - self.rate * *m / (v.sqrt() * self.root + self.epsilon);
        }
    }
}

/// Σ x², in f64 over fixed blocks added in order.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let block = |block: &[f32]| {
        let mut lanes = [0f64; 8];
        let chunks = block.chunks_exact(8);
        let rest: f64 = chunks.remainder().iter().map(|x| f64::from(*x).powi(2)).sum();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += f64::from(*x).powi(2));
        }
        lanes.iter().sum::<f64>() + rest
    };
    let blocks: Vec<f64> = x.par_chunks(BLOCK).map(block).collect();
    blocks.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u64, scale: f64, decays: bool) -> Step {
        Step { number, rate: 0.1, scale, decays }
    }

    /// Worked by hand for x = 1, η = 0.1, λ = 0.5, g = 2 and then −1, ε = 0.
    #[test]
    fn two_steps_worked_by_hand() {
        let rule = AdamW { epsilon: 0., weight_decay: 0.5, ..AdamW::default() };
        let (mut x, mut moments) = ([1f32], Moments::zeros(1));
        rule.update(&mut x, &mut [2.], &mut moments, step(1, 1., true));
        // m = 0.2, v = 0.004, m̂ = 2, v̂ = 4: x = 0.95 − 0.1.
        assert!((x[0] - 0.85).abs() < 1e-6, "{x:?}");
        let mut gradient = [-1.];
        rule.update(&mut x, &mut gradient, &mut moments, step(2, 1., true));
        // m = 0.08, v = 0.004996; m̂ = 0.42105, v̂ = 2.49925, √v̂ = 1.58090:
        // x = 0.85 · 0.95 − 0.1 · 0.266338 = 0.780866.
        assert!((moments.first[0] - 0.08).abs() < 1e-7, "{moments:?}");
        assert!((moments.second[0] - 0.004_996).abs() < 1e-8, "{moments:?}");
        assert!((x[0] - 0.780_866).abs() < 2e-6, "{x:?}");
        assert_eq!(gradient, [0.]);
    }

    #[test]
    fn the_gradient_is_scaled_first_and_decay_can_be_left_out() {
        let rule = AdamW::default();
        let (mut x, mut moments) = ([1f32], Moments::zeros(1));
        rule.update(&mut x, &mut [8.], &mut moments, step(1, 0.25, false));
        assert!((moments.first[0] - 0.2).abs() < 1e-7 && (x[0] - 0.9).abs() < 1e-6, "{x:?}");
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let x: Vec<f32> = (0..200_003).map(|i| (i as f32 * 0.37).sin()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool").install(|| sum_of_squares(&x))
        };
        assert_eq!(on(1).to_bits(), on(3).to_bits());
        let plain: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
        assert!((on(2) / plain - 1.).abs() < 1e-12);
    }
}
