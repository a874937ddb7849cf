//! Lines from stdin. The first byte is the limit, the second seeds how the rest is chopped into reads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, BufRead, Read};

use openclaw_weixin_sidecar::rpc::{Frame, Frames};

/// Reads `data` in pieces, with an interruption now and then.
struct Pieces<'a> {
    data: &'a [u8],
    /// What is in the buffer.
    piece: usize,
    state: u32,
    /// How often the source itself was asked: where a pipe would block.
    asked: &'a Cell<usize>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("frames are read through the buffer")
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece == 0 {
            self.asked.set(self.asked.get() + 1);
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match (self.state >> 24) as usize % 12 {
                0 => return Err(io::ErrorKind::Interrupted.into()),
                1 => self.piece = self.data.len(),
                n => self.piece = (n * n / 2).min(self.data.len()),
            }
        }
        Ok(&self.data[..self.piece])
    }

    fn consume(&mut self, amount: usize) {
        self.data = &self.data[amount..];
        self.piece -= amount;
    }
}

/// What must come out, by definition rather than by reading.
fn expected(data: &[u8], limit: usize) -> Vec<Frame> {
    let lines = data.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .filter(|line| line.len() > limit || line.iter().any(|byte| !byte.is_ascii_whitespace()))
        .map(|line| if line.len() > limit { Frame::TooLong } else { Frame::Line(line.to_vec()) })
        .collect()
}

pub fn check(data: &[u8]) {
    let [limit, seed, data @ ..] = data else { return };
    let limit = usize::from(*limit);
    let expected = expected(data, limit);
    let mut frames = Vec::with_capacity(expected.len() + 1);
    let asked = Cell::new(0);
    let mut reader = Frames::new(Pieces { data, piece: 0, state: u32::from(*seed), asked: &asked }, limit);
    loop {
        let (announced, before) = (reader.has_next(), asked.get());
        let (frame, peak) = peak_of(|| reader.read().expect("this source has no errors but interruptions"));
        // A line, its growth by doubling, and nothing that depends on how long an oversized one is.
        assert!(peak <= 4 * (limit + 1) + 64, "{peak} bytes held for lines of at most {limit}");
        assert!(!announced || frame.is_some(), "a frame was announced and none came");
        assert!(!announced || asked.get() == before, "the source was asked for a frame that was announced");
        let Some(frame) = frame else { break };
        frames.push(frame);
    }
    assert_eq!(frames, expected);
}

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what a thread holds.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LIVE.try_with(|live| {
            live.set(live.get().wrapping_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        });
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(layout.size())));
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What `work` returns, and the bytes that it held at once, at most.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let done = work();
    (done, PEAK.get() - before)
}
