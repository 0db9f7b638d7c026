//! Adam for one small vector (Kingma & Ba, arXiv 1412.6980): β₁ = 0.9, β₂ = 0.999, ε = 1e-8.

/// State of Adam for one vector.
#[derive(Debug, Clone)]
pub struct Adam {
    rate: f64,
    first: Vec<f64>,
    second: Vec<f64>,
    step: i32,
}

impl Adam {
    const BETA1: f64 = 0.9;
    const BETA2: f64 = 0.999;
    const EPSILON: f64 = 1e-8;

    /// For a vector of `width` values and a learning rate.
    pub fn new(width: usize, rate: f64) -> Self {
        Self { rate, first: vec![0.; width], second: vec![0.; width], step: 0 }
    }

    /// x ← x − rate · m̂ / (√v̂ + ε).
    pub fn update(&mut self, x: &mut [f32], gradient: &[f32]) {
        self.step += 1;
        let first_bias = 1. - Self::BETA1.powi(self.step);
        let second_bias = 1. - Self::BETA2.powi(self.step);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((x, g), (m, v)) in x.iter_mut().zip(gradient).zip(moments) {
            let g = f64::from(*g);
            *m = Self::BETA1 * *m + (1. - Self::BETA1) * g;
            *v = Self::BETA2 * *v + (1. - Self::BETA2) * g * g;
            let slope = (*m / first_bias) / ((*v / second_bias).sqrt() + Self::EPSILON);
            *x = (f64::from(*x) - self.rate * slope) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Adam;

    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let mut x = [1f32, -2.];
        Adam::new(2, 0.5).update(&mut x, &[3., -0.01]);
        assert!((x[0] - 0.5).abs() < 1e-6 && (x[1] + 1.5).abs() < 1e-5, "{x:?}");
    }

    #[test]
    fn a_parabola_is_minimised() {
        let (mut x, mut adam) = ([4f32], Adam::new(1, 0.1));
        for _ in 0..500 {
            let gradient = [2. * (x[0] - 1.)];
            adam.update(&mut x, &gradient);
        }
        assert!((x[0] - 1.).abs() < 1e-2, "{x:?}");
    }
}
