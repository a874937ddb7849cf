//! Percentiles.

use std::time::Duration;

/// Measurements of one thing.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a duration; it counts in milliseconds.
    pub fn add(&mut self, duration: Duration) {
        self.push(duration.as_secs_f64() * 1000.0);
    }

    /// Adds a number of any unit.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value below which `percent` of the samples are.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.percentile(0.0)
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.percentile(100.0)
    }
}
