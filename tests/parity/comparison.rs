//! Numbers compared with golden ones; every row that misses its tolerance is reported.

use std::collections::BTreeMap;
use std::fmt::Debug;

use candle_core::Tensor;

/// Collects the rows of one test.
#[derive(Default)]
pub struct Comparison {
    failures: Vec<String>,
    /// By quantity: how often it was compared, and its largest relative difference.
    largest: BTreeMap<&'static str, (usize, f32, String)>,
}

impl Comparison {
    /// Equal, bit by bit.
    pub fn equal<T: PartialEq + Debug + ?Sized>(&mut self, name: &str, found: &T, expected: &T) {
        if found != expected {
            self.failures.push(format!("{name}: found {found:?}, expected {expected:?}"));
        }
    }

    /// Differences up to `tolerance` times the largest magnitude of what is expected.
    pub fn tensor(
        &mut self,
        (quantity, tolerance): (&'static str, f32),
        name: &str,
        found: &Tensor,
        expected: &Tensor,
    ) {
        if found.dims() != expected.dims() {
            return self.equal(&format!("{name}: shape"), found.dims(), expected.dims());
        }
        let values = |tensor: &Tensor| {
            let flat = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
            flat.expect("an f32 tensor")
        };
        self.slice((quantity, tolerance), name, &values(found), &values(expected));
    }

    /// As [`Self::tensor`], for values of one length.
    pub fn slice(
        &mut self,
        (quantity, tolerance): (&'static str, f32),
        name: &str,
        found: &[f32],
        expected: &[f32],
    ) {
        if found.len() != expected.len() {
            return self.equal(&format!("{name}: length"), &found.len(), &expected.len());
        }
        let scale = expected.iter().fold(0f32, |scale, value| scale.max(value.abs()));
        let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).enumerate();
        // In the total order a NaN is above every number, so it cannot hide.
        let worst = differences.max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (at, difference) = worst.expect("a golden tensor is not empty");
        let relative = if difference == 0. { 0. } else { difference / scale };
        let message = format!(
            "{name}: differs by {difference:e} ({relative:e} of the largest, {scale}) at [{at}]: \
             found {}, expected {}",
            found[at], expected[at]
        );
        let entry = self.largest.entry(quantity).or_insert((0, -1., String::new()));
        entry.0 += 1;
        if relative.total_cmp(&entry.1).is_gt() {
            (entry.1, entry.2) = (relative, message.clone());
        }
        if relative.is_nan() || relative > tolerance {
            self.failures.push(format!("{message}; tolerance {tolerance:e}"));
        }
    }

    /// Shows the largest difference of each quantity, and fails if any row did.
    pub fn finish(self) {
        for (quantity, (compared, relative, message)) in &self.largest {
            println!("{quantity:<18} {relative:9.2e} of {compared:4} compared; {message}");
        }
        let rows = self.failures.len();
        assert!(rows == 0, "{rows} rows differ:\n{}", self.failures.join("\n"));
    }
}
