//! How far a file has come, as a line on a terminal that is written over and over.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ilink::cdn::Progress;

use super::args::Common;
use crate::process::enable_escapes;
use crate::service::TransferWatch;

/// The line is written again after this time at the soonest.
const PACE: Duration = Duration::from_millis(100);
const MIB: f64 = 1024.0 * 1024.0;
/// Back to the line's begin, which is emptied.
const CLEAR: &str = "\r\x1b[K";

/// The line on stderr, where a person sees it: on a terminal, beside an answer in words. It is gone when this is dropped.
pub struct Transfers(Option<Arc<Mutex<Line>>>);

impl Transfers {
    /// Nothing is written yet.
    pub fn new(common: &Common) -> Transfers {
        let sees = std::io::stderr().is_terminal() && !common.json && enable_escapes();
        Transfers(sees.then(|| Arc::new(Mutex::new(Line { written: None }))))
    }

    /// What is to be told of transfers.
    pub fn watch(&self) -> Option<TransferWatch> {
        let line = self.0.clone()?;
        Some(Box::new(move |progress| line.lock().unwrap_or_else(PoisonError::into_inner).show(progress)))
    }
}

impl Drop for Transfers {
    /// Empties the line: what is said next begins there.
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

struct Line {
    /// When it was last written.
    written: Option<Instant>,
}

impl Line {
    /// A terminal that cannot be written to shows nothing, and that is all.
    fn show(&mut self, progress: Progress) {
        if progress.total == Some(progress.moved) {
            self.clear();
        } else if self.written.is_none_or(|at| at.elapsed() >= PACE) {
            let _ = write!(std::io::stderr(), "{CLEAR}{}", text(progress));
            self.written = Some(Instant::now());
        }
    }

    fn clear(&mut self) {
        if self.written.take().is_some() {
            let _ = write!(std::io::stderr(), "{CLEAR}");
        }
    }
}

fn text(Progress { upload, moved, total }: Progress) -> String {
    let verb = if upload { "uploading" } else { "downloading" };
    let done = moved as f64 / MIB;
    match total {
        Some(total) if total > 0 => {
            let percent = u128::from(moved) * 100 / u128::from(total);
            format!("{verb}: {done:.1} of {:.1} MiB ({percent} %)", total as f64 / MIB)
        }
        _ => format!("{verb}: {done:.1} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_told_in_mebibytes_and_its_share() {
        let of = |upload, moved, total| text(Progress { upload, moved, total });
        assert_eq!(of(true, 3 << 19, Some(6 << 20)), "uploading: 1.5 of 6.0 MiB (25 %)");
        assert_eq!(of(false, 1 << 20, None), "downloading: 1.0 MiB");
        assert_eq!(of(true, 0, Some(0)), "uploading: 0.0 MiB");
        assert_eq!(of(true, u64::MAX, Some(u64::MAX)).split('(').next_back(), Some("100 %)"));
    }
}
