//! Whether the machine slept, or moved to another network while its lid was closed: connections are dead then, and nobody
//! says so.
//!
//! While a machine sleeps the wall clock goes on and the monotonic one does not (on Linux and macOS; elsewhere both do, and
//! the gap between two looks tells). A clock that was set looks the same, and costs one new connection.

use std::time::{Duration, Instant, SystemTime};

/// How often the clocks are compared.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A difference that is no inaccuracy.
const JUMP: Duration = Duration::from_secs(10);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    wall: SystemTime,
    monotonic: Instant,
}

impl Clocks {
    pub fn now() -> Clocks {
        Clocks { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// Whether one of the clocks jumped between the two moments, the second of which was to come after `expected`.
    pub fn jumped(self, later: Clocks, expected: Duration) -> bool {
        let passed = later.monotonic.saturating_duration_since(self.monotonic);
        // Backwards counts as much as forwards.
        let apart = match later.wall.duration_since(self.wall) {
            Ok(wall) => wall.abs_diff(passed),
            Err(back) => back.duration() + passed,
        };
        apart > JUMP || passed > expected + 3 * JUMP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(wall: i64, monotonic: u64) -> bool {
        let start = Clocks::now();
        let shifted = match u64::try_from(wall) {
            Ok(ahead) => start.wall + Duration::from_secs(ahead),
            Err(_) => start.wall - Duration::from_secs(wall.unsigned_abs()),
        };
        let later = Clocks { wall: shifted, monotonic: start.monotonic + Duration::from_secs(monotonic) };
        start.jumped(later, LOOK_EVERY)
    }

    #[test]
    fn sleep_and_a_clock_that_was_set_are_jumps_and_a_busy_machine_is_none() {
        assert!(!after(5, 5));
        assert!(!after(12, 5), "an inaccuracy");
        assert!(!after(30, 30), "a busy machine");
        assert!(after(3_600, 5), "slept for an hour");
        assert!(after(-3_600, 5), "set back");
        assert!(after(600, 600), "slept where both clocks go on");
    }
}
