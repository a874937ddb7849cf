//! The code fences of a text, and what it costs to end a chunk in one.

use std::ops::Range;

use super::breaks::white_space_len;
use crate::outbound::fence::{Fence, FenceLine, Lead};

/// A code fence and what it takes to interrupt it.
#[derive(Debug)]
pub(super) struct FenceSpan {
    /// The opening line, without its line end.
    pub(super) opening: Range<usize>,
    /// Where the first code is.
    pub(super) code: usize,
    /// The closing line; empty where the fence ends without one; [`NEVER`] where the text does.
    pub(super) closing: Range<usize>,
    /// The opening line as a chunk repeats it.
    pub(super) reopen: String,
    /// The line that closes it early.
    pub(super) close: String,
    /// The quote markers without which a line is not in the fence.
    pub(super) quote: String,
}

/// A place behind any text.
pub(super) const NEVER: Range<usize> = usize::MAX..usize::MAX;

/// What it means to end a chunk at a certain place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing is open.
    Text,
    /// In a fence, behind some code.
    Code,
    /// Behind the opening line of a fence: it would be an empty one.
    Bare,
    /// In one of the two lines of a fence, where no chunk may end.
    Torn,
}

impl FenceSpan {
    /// What ending a chunk at `at`, behind which there is text, means for this fence.
    pub(super) fn place(&self, at: usize) -> Place {
        if at <= self.opening.start || at >= self.closing.end {
            Place::Text
        } else if at < self.opening.end || at > self.closing.start {
            Place::Torn
        } else if at <= self.code {
            Place::Bare
        } else {
            Place::Code
        }
    }

    /// Characters that closing the fence early adds.
    pub(super) fn closing_cost(&self) -> usize {
        1 + self.close.chars().count()
    }
}

/// All the fences of `text` that chunks of `limit` can carry, in order.
pub(super) fn fences(text: &str, limit: usize) -> Vec<FenceSpan> {
    let room = if limit < 64 { 1 } else { limit / 4 };
    let mut spans: Vec<FenceSpan> = Vec::new();
    let mut open: Option<(Fence, Option<FenceSpan>)> = None;
    let mut base = 0;
    for full_line in text.split_inclusive('\n') {
        let line = full_line.trim_end();
        let start = base;
        base += full_line.len();
        if let Some((fence, span)) = open.take() {
            let closing = match fence.line(line) {
                FenceLine::Inside => {
                    open = Some((fence, span));
                    continue;
                }
                FenceLine::Closes => start..start + line.len(),
                FenceLine::Beyond => start..start,
            };
            let closed = !closing.is_empty();
            spans.extend(span.map(|span| FenceSpan { closing, ..span }));
            if closed {
                continue;
            }
        }
        let lead = Lead::of(line);
        if let Some(fence) = Fence::opened_by(&line[lead.len..], lead) {
            let span = fence_span(text, start..start + line.len(), &fence, lead);
            let cost = line.chars().count() + 1 + span.quote.len() + span.closing_cost();
            open = Some((fence, (cost + room <= limit).then_some(span)));
        }
    }
    spans.extend(open.and_then(|(_, span)| span));
    spans
}

/// The fence that `opening` opens, so far without an end.
fn fence_span(text: &str, opening: Range<usize>, fence: &Fence, lead: Lead) -> FenceSpan {
    let line = &text[opening.clone()];
    // Its other lines have the quote markers too, but white space in place of list markers.
    let keep = |b: u8| {
        if matches!(b, b'>' | b' ' | b'\t') { char::from(b) } else { ' ' }
    };
    let continued: String = line.bytes().take(lead.len).map(keep).collect();
    FenceSpan {
        code: opening.end + white_space_len(&text[opening.end..]),
        closing: NEVER,
        reopen: format!("{continued}{}", &line[lead.len..]),
        close: format!("{continued}{}", fence.marks()),
        quote: if lead.quotes > 0 { continued } else { String::new() },
        opening,
    }
}
