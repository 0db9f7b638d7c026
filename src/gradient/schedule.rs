//! Learning rates over a training, and the order in which data is drawn.

use serde::{Deserialize, Serialize};

use crate::math::Random;

/// A rate that rises linearly and then goes down as `end` says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps over which the rate rises to its full value.
    pub warm_up: u64,
    /// Steps of the whole training.
    pub total: u64,
    /// What follows the rise.
    pub end: End,
}

/// How a schedule goes on after its rise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The full rate throughout.
    Constant,
    /// A straight line to zero.
    Linear,
    /// Half a cosine, to this share of the full rate.
    Cosine(f64),
}

impl Schedule {
    /// The full rate in every step.
    pub fn constant() -> Self {
        Self { warm_up: 0, total: 0, end: End::Constant }
    }

    /// Share of the full rate in a step, counted from 1.
    pub fn share(&self, step: u64) -> f64 {
        if step <= self.warm_up {
            return step as f64 / self.warm_up as f64;
        }
        let length = self.total.saturating_sub(self.warm_up).max(1);
        let done = ((step - self.warm_up - 1) as f64 / length as f64).min(1.);
        match self.end {
            End::Constant => 1.,
            End::Linear => 1. - done,
            End::Cosine(floor) => {
                floor + (1. - floor) * 0.5 * (1. + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

/// Seeded draws without replacement: every item once, in a new order, then again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    items: usize,
    random: Random,
    rest: Vec<usize>,
}

impl Order {
    /// For items 0..n, n > 0.
    pub fn new(items: usize, seed: u64) -> Self {
        Self { items, random: Random::new(seed), rest: Vec::new() }
    }

    /// The next items; an order that runs out goes on with the next one.
    pub fn take(&mut self, count: usize) -> Vec<usize> {
        (0..if self.items == 0 { 0 } else { count }).map(|_| self.next_item()).collect()
    }

    fn next_item(&mut self) -> usize {
        if self.rest.is_empty() {
            self.rest = (0..self.items).collect();
            self.random.shuffle(&mut self.rest);
        }
        self.rest.pop().expect("just filled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_rises_and_falls() {
        let schedule = |end| Schedule { warm_up: 4, total: 14, end };
        assert_eq!(schedule(End::Linear).share(1), 0.25);
        assert_eq!(schedule(End::Linear).share(4), 1.);
        assert_eq!(schedule(End::Linear).share(5), 1.);
        assert!((schedule(End::Linear).share(14) - 0.1).abs() < 1e-12);
        assert!((schedule(End::Cosine(0.1)).share(10) - 0.55).abs() < 1e-12);
        assert_eq!(schedule(End::Cosine(0.1)).share(99), 0.1);
        assert_eq!(Schedule::constant().share(1), 1.);
    }

    #[test]
    fn an_order_holds_each_item_once_and_survives_its_json() {
        let mut order = Order::new(10, 3);
        let mut first = order.take(10);
        let json = serde_json::to_string(&order).expect("plain data");
        let mut back: Order = serde_json::from_str(&json).expect("as written");
        assert_eq!(order.take(25), back.take(25));
        assert_ne!(first, (0..10).collect::<Vec<_>>());
        first.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
    }
}
