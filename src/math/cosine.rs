//! The cosine of the angle between two vectors.

/// ⟨a, b⟩ / (‖a‖ ‖b‖), summed in f64; zero where one of them is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_worked_by_hand() {
        assert!((cosine(&[3., 4.], &[6., 8.]) - 1.).abs() < 1e-12);
        assert_eq!(cosine(&[1., 0.], &[0., 2.]), 0.);
        assert_eq!(cosine(&[1., 0.], &[0., 0.]), 0.);
    }
}
