//! What the outbox asks of the rest of the program.

use futures_util::future::BoxFuture;

use super::media::MediaPart;
use super::source::Spooled;
use crate::contract::{AccountId, Locale, OutboundUpdate, Recovery};
use crate::store::{Confirmations, QuotaLimits, Standing};
use ilink::cdn::Cdn;
use ilink::{Ilink, Session};

/// How sends are paced and kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutboxSettings {
    /// What WeChat allows.
    pub limits: QuotaLimits,
    /// Held sends in one conversation; beyond it the oldest are given up.
    pub max_held: u32,
    /// How long a send is held, in milliseconds.
    pub hold_ttl_ms: i64,
    /// Whether the last free wire message says that the rest follows.
    pub notice: bool,
    /// In which language.
    pub locale: Locale,
    /// Whether the last message that is left may be a file with the rest of an answer.
    pub rest_as_file: bool,
    /// Whether a `<` that could begin a tag is written wide.
    pub escape_tags: bool,
    /// How often a refusal to prepare a message is answered with a recovery, in milliseconds.
    pub recovery_every_ms: i64,
}

/// The wire, with an account's authorisation.
pub struct Ready {
    pub ilink: Ilink,
    /// The account's authorisation.
    pub session: Session,
    /// The media host.
    pub cdn: Cdn,
}

/// Why an account cannot send. The text is for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It needs a new login.
    NoLogin(String),
    /// It could not be found out now.
    Now(String),
}

/// The rest of the program, as the outbox sees it.
pub trait OutboxContext: Send + Sync + 'static {
    /// The wire and the account's authorisation.
    fn ready<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<Ready, NotReady>>;
    /// The settings in force.
    fn settings(&self) -> OutboxSettings;
    /// Whether what is sent is kept for quotes.
    fn keeps_texts(&self) -> bool;
    /// A file was sent, or will not be: keeps it for quotes of the message `message_id`, or removes it. Must not block.
    fn file_done(&self, account: &str, message_id: Option<u64>, part: MediaPart);
    /// A send that was reported as held has ended. Must not block.
    fn ended(&self, update: OutboundUpdate);
    /// A wire message of an account was answered.
    fn counted(&self, account: &AccountId, answer: Answered);
    /// Whether what an account's bot sends is confirmed has changed. Must not block.
    fn standing(&self, account: &AccountId, before: Standing, now: Confirmations);
    /// What is being tried, or was, against a refusal to prepare a message.
    fn recovering(&self, account: &AccountId, tried: Recovery);
    /// Asks the server for a fresh typing ticket for a person.
    fn fresh_ticket<'a>(&'a self, ready: &'a Ready, account: &'a AccountId, peer: &'a str) -> BoxFuture<'a, bool>;
    /// Writes a text into a file of the spool; `None` where that failed.
    fn spool_text(&self, text: String) -> BoxFuture<'_, Option<Spooled>>;
}

/// How a wire message was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Taken, with an id.
    Confirmed,
    /// Taken, without one.
    Unconfirmed,
    /// Refused for good.
    Refused,
}
