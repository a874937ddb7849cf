//! Splits a text into messages that WeChat accepts, where a reader would pause.
//!
//! # Where a chunk ends
//!
//! Each chunk takes as much as fits (its *window*) and ends at the best break in the **last half** of it: the last end of a
//! paragraph there, else of a line, else of a sentence, else of a word. So a chunk is at least half full, and an early
//! paragraph break does not beat a late line break. If the last half has none of them (one long word or address), the
//! latest break in the first half serves, of whatever kind: that keeps the long word whole, if it fits in a chunk at all.
//! If there is no break at all, the chunk ends between two grapheme clusters; and if a single cluster is larger than the
//! window, between two `char`s. Chinese and Japanese sentences end at their punctuation, and words anywhere between two
//! characters, except that a chunk neither begins with closing punctuation nor ends with opening punctuation.
//!
//! # Code fences
//!
//! A chunk that ends inside a fence closes it, and the next one opens it again with the same line; both count in the
//! limit. A fence stays open in a chunk only around some code, and its lines are never cut. Where the limit leaves less
//! than a quarter beside the two fence lines (or, below 64, less than one character), the fence is treated as text.
//!
//! Whatever stands between two chunks is white space and is dropped; the indentation of a line that begins a chunk stays.

mod breaks;
mod fences;

use unicode_segmentation::UnicodeSegmentation;

use breaks::{Break, Sentence, is_white_space, kind_of_break, white_space_len, would_open_a_fence};
use fences::{FenceSpan, NEVER, Place, fences};

/// A chunk, and where it comes from.
pub struct Chunk {
    /// What it says.
    pub text: String,
    /// Where its own text begins in the whole, in bytes.
    pub at: usize,
    /// How many bytes of it open a fence again, before its own text.
    pub reopening: usize,
}

/// Splits `text` into chunks of at most `limit` Unicode scalar values (`char`s); a `limit` of 0 counts as 1.
///
/// No chunk is blank; a text of white space has none. White space is dropped at the start (blank lines), at the end and
/// between chunks, nothing else is. Takes linear time.
pub fn chunk(text: &str, limit: usize) -> Vec<String> {
    chunks(text, limit).into_iter().map(|chunk| chunk.text).collect()
}

/// As [`chunk`], with where each of them comes from.
pub fn chunks(text: &str, limit: usize) -> Vec<Chunk> {
    let text = text.trim_end();
    let splitter = Splitter { text, limit: limit.max(1), fences: fences(text, limit) };
    let mut chunks = Vec::new();
    let mut at = Start::default();
    while let Some(start) = splitter.skip_white_space(at) {
        let (text, next) = splitter.take(start);
        // A space that carries a mark can be cut from it by a limit of one.
        if !text.trim().is_empty() {
            chunks.push(Chunk { text, at: start.at, reopening: splitter.reopening(start).len() });
        }
        at = next;
    }
    chunks
}

/// Where a chunk begins.
#[derive(Debug, Default, Clone, Copy)]
struct Start {
    at: usize,
    /// Index of the first fence that does not end before `at`.
    fence: usize,
    /// Whether `at` is inside of it, so that it has to be opened again.
    reopens: bool,
    /// Whether `at` is not at the start of a line.
    mid_line: bool,
}

struct Splitter<'a> {
    text: &'a str,
    limit: usize,
    fences: Vec<FenceSpan>,
}

impl Splitter<'_> {
    /// Where the text of the next chunk begins, at or behind `start`; `None` if there is nothing but white space.
    fn skip_white_space(&self, mut start: Start) -> Option<Start> {
        loop {
            let rest = &self.text[start.at..];
            let blank = white_space_len(rest);
            if blank == rest.len() {
                return None;
            }
            let line = rest[..blank].rfind('\n').map(|end| end + 1);
            start.mid_line &= line.is_none();

            // If no code follows, the fence that the last chunk closed need not be opened for its closing line.
            if let Some(fence) = self.reopened(start)
                && start.at + blank >= fence.closing.start
            {
                let mid_line = !fence.closing.is_empty();
                start = Start { at: fence.closing.end, fence: start.fence + 1, reopens: false, mid_line };
                continue;
            }

            // Indentation says something: it stays, where it fits.
            let line = line.unwrap_or(if start.mid_line { blank } else { 0 });
            start.at += line;
            let closing = self.reopened(start).map_or(0, FenceSpan::closing_cost);
            let room = self.limit - self.reopening(start).chars().count() - closing;
            if !fits_indented(&rest[line..], blank - line, room) {
                start.at += blank - line;
            }
            return Some(start);
        }
    }

    fn reopened(&self, start: Start) -> Option<&FenceSpan> {
        self.fences.get(start.fence).filter(|_| start.reopens)
    }

    /// What has to precede the text of a chunk that begins at `start`.
    fn reopening(&self, start: Start) -> String {
        self.reopened(start).map_or_else(String::new, |fence| {
            format!("{}\n{}", fence.reopen, if start.mid_line { &fence.quote } else { "" })
        })
    }

    /// The chunk that begins at `start`, and where the next one may begin.
    fn take(&self, start: Start) -> (String, Start) {
        let mut chunk = self.reopening(start);
        let end = self.end(start, self.limit - chunk.chars().count());
        chunk.push_str(&self.text[start.at..end]);

        let passed = self.fences[start.fence..].iter().take_while(|fence| fence.closing.end <= end).count();
        let mut next = Start { at: end, fence: start.fence + passed, reopens: false, mid_line: true };
        let open = self.fences.get(next.fence).filter(|fence| matches!(fence.place(end), Place::Code | Place::Bare));
        if let Some(fence) = open {
            next.reopens = true;
            // A fence that the text never closes is closed only if it was opened here.
            if end < self.text.len() || (start.reopens && start.fence == next.fence) {
                chunk.push('\n');
                chunk.push_str(&fence.close);
            }
        }
        (chunk, next)
    }

    /// Where the chunk ends that begins at `start`, with `window` characters for its text and for closing a fence.
    fn end(&self, start: Start, window: usize) -> usize {
        let rest = &self.text[start.at..];
        let mut candidates = Candidates::default();
        let mut fence = start.fence;
        let mut used = 0;
        let mut sentence = Sentence::Open;
        let mut last = ' ';
        // One character more than fits is enough to see what does not fit, and a cluster may be as long as the text.
        for (offset, cluster) in at_most(rest, window + 1).grapheme_indices(true) {
            let at = start.at + offset;
            let here = &rest[offset..];
            // Only behind text: white space belongs to the break before it.
            if !last.is_whitespace() {
                while self.fences.get(fence).is_some_and(|fence| fence.closing.end <= at) {
                    fence += 1;
                }
                let fence = self.fences.get(fence);
                let place = fence.map_or(Place::Text, |fence| fence.place(at));
                let cost = fence.filter(|_| place != Place::Text).map_or(0, FenceSpan::closing_cost);
                let blank = &here[..white_space_len(here)];
                let kind = kind_of_break(blank, sentence, last, here);
                let torn = place == Place::Torn || would_open_a_fence(blank, &here[blank.len()..]);
                if !torn && used + cost <= window {
                    candidates.offer(at, kind.filter(|_| place != Place::Bare), used * 2 >= window, place);
                }
            }
            used += cluster.chars().count();
            if used > window {
                return candidates.best().unwrap_or_else(|| self.cut(start, window));
            }
            last = if is_white_space(cluster) { ' ' } else { cluster.chars().next_back().unwrap_or(' ') };
            sentence = cluster.chars().fold(sentence, Sentence::then);
        }
        // All of it fits, unless a fence that was opened here needs closing.
        let unclosed = self.reopened(start).filter(|fence| fence.closing == NEVER);
        if used + unclosed.map_or(0, FenceSpan::closing_cost) <= window {
            return self.text.len();
        }
        candidates.best().unwrap_or_else(|| self.cut(start, window))
    }

    /// The last resort: the next grapheme cluster does not fit, so as many of its characters as do.
    fn cut(&self, start: Start, window: usize) -> usize {
        let room = window - self.reopened(start).map_or(0, FenceSpan::closing_cost);
        let next = self.text[start.at..].char_indices().nth(room.max(1));
        next.map_or(self.text.len(), |(offset, _)| start.at + offset)
    }
}

/// The start of `text`, of at most `limit` characters.
fn at_most(text: &str, limit: usize) -> &str {
    let end = text.char_indices().nth(limit);
    end.map_or(text, |(end, _)| &text[..end])
}

/// Whether `room` characters take the indentation of `indent` bytes that `line` has, without being mostly indentation,
/// and without that the first cluster of the text has to be cut.
fn fits_indented(line: &str, indent: usize, room: usize) -> bool {
    let (white_space, text) = line.split_at(indent);
    let used = white_space.chars().count();
    let first = at_most(text, room + 1).graphemes(true).next();
    used * 4 <= room && used + first.map_or(0, |cluster| cluster.chars().count()) <= room
}

/// The breaks of one window.
#[derive(Default)]
struct Candidates {
    /// The best in the last half, and among equals the last.
    late: Option<(Break, usize)>,
    /// The last of any kind.
    any: Option<usize>,
    /// The last between two grapheme clusters.
    cluster: Option<usize>,
    /// The last that leaves an empty fence.
    bare: Option<usize>,
}

impl Candidates {
    fn offer(&mut self, at: usize, kind: Option<Break>, late: bool, place: Place) {
        match kind {
            Some(kind) => {
                self.any = Some(at);
                if late && self.late.is_none_or(|(best, _)| best <= kind) {
                    self.late = Some((kind, at));
                }
            }
            None if place == Place::Bare => self.bare = Some(at),
            None => self.cluster = Some(at),
        }
    }

    fn best(&self) -> Option<usize> {
        self.late.map(|(_, at)| at).or(self.any).or(self.cluster).or(self.bare)
    }
}

#[cfg(test)]
mod tests;
