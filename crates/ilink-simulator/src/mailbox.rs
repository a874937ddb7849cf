//! What one bot has been sent: an append-only log of messages, each serialised once, and the cursors into it.
//!
//! Nothing is ever removed, because an older cursor must get the same messages again. A poll copies references to
//! the serialised bytes, never the log.

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The log of one bot.
#[derive(Debug)]
pub(super) struct Mailbox {
    log: Vec<Entry>,
    /// How much of the log has been handed out at least once.
    handed: usize,
    /// Part of every cursor: a cursor of another bot, or of another run, means nothing here.
    stamp: u32,
}

#[derive(Debug)]
struct Entry {
    wire: Bytes,
    /// Not the first time in this log; a replay leaves it out, or every replay would double the next.
    repeated: bool,
}

/// A stretch of the log that one answer carries.
#[derive(Debug)]
pub(super) struct Batch {
    /// Serialised messages.
    pub(super) messages: Vec<Bytes>,
    /// The cursor behind them.
    pub(super) cursor: String,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        Self { log: Vec::new(), handed: 0, stamp: rand::random() }
    }

    /// Adds serialised messages.
    pub(super) fn append(&mut self, messages: impl IntoIterator<Item = Bytes>) {
        self.log.extend(messages.into_iter().map(|wire| Entry { wire, repeated: false }));
    }

    /// Puts everything that was ever handed out at the end of the log once more, and says how many that were.
    pub(super) fn replay(&mut self) -> usize {
        let again: Vec<Entry> = self.log[..self.handed]
            .iter()
            .filter(|entry| !entry.repeated)
            .map(|entry| Entry { wire: entry.wire.clone(), repeated: true })
            .collect();
        let count = again.len();
        self.log.extend(again);
        count
    }

    /// Messages that no answer has carried yet.
    pub(super) fn queued(&self) -> usize {
        self.log.len() - self.handed
    }

    /// The position of a cursor. A cursor that is not of this log (the empty one of a first poll, or one that another
    /// server made) is its beginning: better everything again than anything never.
    pub(super) fn position(&self, cursor: &str) -> usize {
        self.decode(cursor).unwrap_or(0)
    }

    /// What comes after a position, at most `limit` messages of it; `None` when there is nothing.
    pub(super) fn take(&mut self, position: usize, limit: usize) -> Option<Batch> {
        let end = self.log.len().min(position.saturating_add(limit.max(1)));
        let news = self.log.get(position..end).filter(|news| !news.is_empty())?;
        let messages = news.iter().map(|entry| entry.wire.clone()).collect();
        self.handed = self.handed.max(end);
        Some(Batch { messages, cursor: self.cursor(end) })
    }

    /// The cursor of a position.
    pub(super) fn cursor(&self, position: usize) -> String {
        URL_SAFE_NO_PAD.encode(format!("{:08x}.{position}", self.stamp))
    }

    fn decode(&self, cursor: &str) -> Option<usize> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let text = str::from_utf8(&bytes).ok()?;
        let (stamp, position) = text.split_once('.')?;
        let ours = u32::from_str_radix(stamp, 16).ok()? == self.stamp;
        let position: usize = position.parse().ok()?;
        (ours && position <= self.log.len()).then_some(position)
    }
}
