//! What reached people, and what was refused: the two lists a test looks at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::basics::{lock, unix_millis};
use super::endpoint::Endpoint;
use super::sent_media::SentMedia;

/// Refusals are kept for looking at, not for counting; a client that retries for hours must not fill the memory.
const MAX_REJECTED: usize = 10_000;

/// A message of a bot that its receiver sees.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Its number among all messages of all bots, from 1.
    pub n: u64,
    /// The bot.
    pub bot_id: String,
    /// The person.
    pub to: String,
    /// Its text, if it has a text item.
    pub text: Option<String>,
    /// What of its text its receiver gets to see.
    pub shown: Option<String>,
    /// The type of its item: 1 text, 2 image, 3 voice, 4 file, 5 video, …
    pub item_type: u64,
    /// What its item says about its media, if it is any. `Control` has the bytes.
    pub media: Option<SentMedia>,
    /// Its items, verbatim.
    pub items: Value,
    /// The names of its fields, sorted.
    pub fields: Vec<String>,
    /// The id the client gave it.
    pub client_id: String,
    /// The context token it was sent with.
    pub context_token: Option<String>,
    /// The id the server gave it.
    pub message_id: String,
    /// The run it belongs to.
    pub run_id: Option<String>,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// A request that was refused, or a message that was silently dropped.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// Its number among all refusals, from 1.
    pub n: u64,
    /// The endpoint, as the last segment of its path.
    pub endpoint: String,
    /// The bot, when its token was recognised.
    pub bot_id: Option<String>,
    /// Why.
    pub reason: String,
    /// What the client was told: `silent` (it looked like a success), `http 400`, `ret -2`, …
    pub answer: String,
    /// The receiver, for a message.
    pub to: Option<String>,
    /// The text, for a message.
    pub text: Option<String>,
    /// The client's id, for a message.
    pub client_id: Option<String>,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

impl Rejected {
    /// A refusal of a request; its number and its time are set when it is recorded.
    pub(super) fn new(endpoint: Option<Endpoint>, reason: impl Into<String>) -> Self {
        Self {
            n: 0,
            endpoint: endpoint.map_or("unknown", Endpoint::name).to_owned(),
            bot_id: None,
            reason: reason.into(),
            answer: String::new(),
            to: None,
            text: None,
            client_id: None,
            at_ms: 0,
        }
    }
}

/// Which sent messages are meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SentFilter {
    /// Only of this bot.
    pub bot_id: Option<String>,
    /// Only to this person.
    pub to: Option<String>,
    /// Only with a greater number.
    pub after: u64,
}

impl SentFilter {
    fn matches(&self, sent: &Sent) -> bool {
        self.bot_id.as_ref().is_none_or(|id| *id == sent.bot_id) && self.to.as_ref().is_none_or(|to| *to == sent.to)
    }
}

/// Which refusals are meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RejectedFilter {
    /// Only of this bot.
    pub bot_id: Option<String>,
    /// Only of this endpoint (its name).
    pub endpoint: Option<String>,
    /// Only with a greater number.
    pub after: u64,
}

/// The two lists.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: Mutex<Vec<Arc<Sent>>>,
    changed: Notify,
    rejected: Mutex<(u64, VecDeque<Rejected>)>,
}

impl Ledger {
    /// Records a delivery, and gives it its number and its time.
    pub(super) fn deliver(&self, mut message: Sent) {
        {
            let mut sent = lock(&self.sent);
            message.n = sent.len() as u64 + 1;
            message.at_ms = unix_millis();
            sent.push(Arc::new(message));
        }
        self.changed.notify_waiters();
    }

    /// The message of that number or of that message id.
    pub(super) fn find(&self, which: &str) -> Option<Arc<Sent>> {
        let sent = lock(&self.sent);
        let n = which.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let found = n.and_then(|n| sent.get(n)).or_else(|| sent.iter().find(|sent| sent.message_id == which));
        found.cloned()
    }

    /// Records a refusal, and gives it its number and its time.
    pub(super) fn reject(&self, mut rejected: Rejected) {
        let mut list = lock(&self.rejected);
        list.0 += 1;
        rejected.n = list.0;
        rejected.at_ms = unix_millis();
        if list.1.len() == MAX_REJECTED {
            list.1.pop_front();
        }
        list.1.push_back(rejected);
    }

    /// The refusals that match, oldest first.
    pub(super) fn rejected(&self, filter: &RejectedFilter) -> Vec<Rejected> {
        let of_bot = |r: &Rejected| filter.bot_id.as_ref().is_none_or(|id| Some(id) == r.bot_id.as_ref());
        let of_endpoint = |r: &Rejected| filter.endpoint.as_ref().is_none_or(|name| *name == r.endpoint);
        lock(&self.rejected).1.iter().filter(|r| r.n > filter.after && of_bot(r) && of_endpoint(r)).cloned().collect()
    }

    /// Waits until `count` messages match, or until `timeout` has passed, and returns all that match by then.
    pub(super) async fn wait(&self, filter: &SentFilter, count: usize, timeout: Duration) -> Vec<Arc<Sent>> {
        let mut found = Vec::new();
        // Numbers are positions: waiting for the last of 20,000 must not look at the first each time.
        let mut next = usize::try_from(filter.after).unwrap_or(usize::MAX);
        let search = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                {
                    let sent = lock(&self.sent);
                    let news = sent.get(next..).unwrap_or_default();
                    found.extend(news.iter().filter(|sent| filter.matches(sent)).cloned());
                    next += news.len();
                }
                if found.len() >= count {
                    return;
                }
                changed.await;
            }
        };
        // The answer is the same either way: what there is.
        let _ = tokio::time::timeout(timeout, search).await;
        found
    }
}
