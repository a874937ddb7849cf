//! Matches emphasis markers and strips those that make CJK text italic.
//!
//! The matching is [CommonMark's](https://spec.commonmark.org/0.31.2/#phase-2-inline-structure), whose stack of openers and
//! record of fruitless searches make it linear. What may open and close differs on purpose: CommonMark wants `**注意：**` to
//! be followed by a space or punctuation, Chinese has neither there, and a marker not seen is a marker left in the text.

use std::ops::Range;

use crate::outbound::fence::run_len;

/// A run of `*` or `_`. Closing uses it up from the left, opening from the right.
#[derive(Debug)]
pub(super) struct Run {
    start: usize,
    /// Where it ends; at first, also where the text goes on.
    pub(super) end: usize,
    mark: u8,
    /// Its length at first, which CommonMark's rule of three refers to.
    len: usize,
    opens: bool,
    closes: bool,
}

impl Run {
    /// The run of markers at `start`.
    pub(super) fn at(text: &str, start: usize) -> Self {
        let mark = text.as_bytes()[start];
        let len = run_len(&text[start..], mark);
        let end = start + len;
        let before = text[..start].chars().next_back().unwrap_or(' ');
        let mut following = text[end..].chars();
        let after = following.next().unwrap_or(' ');

        let mut opens = !after.is_whitespace();
        let mut closes = !before.is_whitespace();
        if mark == b'_' {
            // Inside a word it is part of the word: snake_case, 年度_报告_终稿.
            opens &= !before.is_alphanumeric();
            closes &= !after.is_alphanumeric();
        } else if len == 1 {
            let product = before.is_ascii_alphanumeric() && after.is_ascii_alphanumeric(); // 5*3
            let glob = after == '.' && following.next().is_some_and(|c| c.is_ascii_alphanumeric()); // *.rs
            opens &= !product && !glob;
            closes &= !product && !glob;
        }
        Self { start, end, mark, len, opens, closes }
    }

    fn left(&self) -> usize {
        self.end - self.start
    }

    /// Whether `self` may open what `closer` closes. Where one of them could do both, lengths that add up to a multiple
    /// of three do not match: so `*a**b*` is one emphasis, not two.
    fn matches(&self, closer: &Self) -> bool {
        let ambiguous = (self.closes || closer.opens) && (self.len + closer.len).is_multiple_of(3);
        self.mark == closer.mark && (!ambiguous || (self.len.is_multiple_of(3) && closer.len.is_multiple_of(3)))
    }

    /// Closers of the same kind fail alike, so a search that one has done is not repeated for another.
    fn kind(&self) -> usize {
        usize::from(self.mark == b'_') * 6 + usize::from(self.opens) * 3 + self.len % 3
    }
}

/// Matches `runs[from..]`, takes them off, and adds to `removals` the markers of italics and bold italics around any of
/// the `cjk` positions.
pub(super) fn strip(runs: &mut Vec<Run>, from: usize, cjk: &[usize], removals: &mut Vec<Range<usize>>) {
    let mut openers: Vec<Run> = Vec::new();
    let mut searched = [0; 12];
    for mut run in runs.drain(from..) {
        if run.closes {
            close(&mut run, &mut openers, &mut searched, cjk, removals);
        }
        if run.opens && run.left() > 0 {
            openers.push(run);
        }
    }
}

/// Closes with `run` as many openers as it can; `searched` says for each kind how many openers are known not to match.
fn close(
    run: &mut Run,
    openers: &mut Vec<Run>,
    searched: &mut [usize; 12],
    cjk: &[usize],
    removals: &mut Vec<Range<usize>>,
) {
    let kind = run.kind();
    while run.left() > 0 {
        let Some(found) = (searched[kind]..openers.len()).rev().find(|i| openers[*i].matches(run)) else {
            searched[kind] = openers.len();
            return;
        };
        openers.truncate(found + 1);
        let opener = &mut openers[found];
        let content = opener.end..run.start;
        let around_cjk = cjk.get(cjk.partition_point(|at| *at < content.start)).is_some_and(|at| *at < content.end);

        // These two runs enclose the same text with all they have in common: twos are bold, an odd one is italic.
        let common = opener.left().min(run.left());
        if common % 2 == 1 && around_cjk {
            removals.push(opener.end - common..opener.end);
            removals.push(run.start..run.start + common);
        }
        opener.end -= common;
        run.start += common;
        if opener.left() == 0 {
            openers.pop();
        }
        for height in searched.iter_mut() {
            *height = (*height).min(openers.len());
        }
    }
}
