//! What the gateway is told of its own accord, and the one way there: from where it happens to whoever writes it.

use std::sync::Arc;

use crate::contract::{AccountStatus, InboundMessage, LoginProgress, OutboundUpdate};

/// Something that the gateway is told.
#[derive(Debug)]
pub enum Event<'a> {
    /// A message of a person: `inbound.message`. There may be no room for it now.
    Message(&'a InboundMessage),
    /// An account's state: `account.status`. One that was not told yet is replaced by the next.
    Status(AccountStatus),
    /// A login's state: `login.progress`.
    Login(LoginProgress),
    /// A send that was reported as held has ended: `outbound.update`.
    SendEnded(OutboundUpdate),
}

/// Where events go. Clones lead to the same place.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event<'_>) -> bool + Send + Sync>);

impl Events {
    /// Events go to `take`, which must not block, and says whether it took them.
    pub fn new(take: impl Fn(Event<'_>) -> bool + Send + Sync + 'static) -> Events {
        Events(Arc::new(take))
    }

    /// Nobody is told; for the command line.
    pub fn none() -> Events {
        Events::new(|_| false)
    }

    /// Tells of an event without waiting. `false`: nobody takes it now.
    pub fn emit(&self, event: Event<'_>) -> bool {
        (self.0)(event)
    }
}
