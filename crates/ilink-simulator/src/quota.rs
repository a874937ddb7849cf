//! Whether a send is let through: context tokens with a budget and an age, and the burst penalty of a bot.
//!
//! All of it is *reported* behaviour, see [`Limits`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::{Limits, Tokenless};

/// The account of one bot.
#[derive(Debug, Default)]
pub(super) struct Quota {
    grants: HashMap<String, Grant>,
    recent: VecDeque<Instant>,
    penalty_until: Option<Instant>,
    /// When the bot last sent something, or its client announced its start.
    last: Option<Instant>,
}

/// What a context token allows.
#[derive(Debug)]
struct Grant {
    peer: Arc<str>,
    since: Instant,
    used: u32,
}

/// Why a send was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a repeated client_id")]
    Repeated,
    #[error("burst: too many sends at once")]
    Burst,
    #[error("burst penalty: it starts anew with this try")]
    Penalty,
    #[error("no context_token")]
    Tokenless,
    #[error("a context_token that was never given out")]
    UnknownToken,
    #[error("a context_token of another person")]
    ForeignToken,
    #[error("a context_token that is too old")]
    TokenExpired,
    #[error("the quota of this context_token is spent")]
    QuotaSpent,
    #[error("the bot was idle for too long")]
    Idle,
}

impl Refusal {
    /// The `errmsg` of the `ret: -2`, or `None` where the server says nothing. The texts are those that people have seen; which one means what is not known, and
    /// no client should tell them apart.
    pub(super) fn errmsg(self) -> Option<&'static str> {
        match self {
            Self::Repeated => None,
            Self::Burst | Self::Penalty => Some("rate limited"),
            Self::TokenExpired | Self::ForeignToken | Self::Idle => Some("prepare failed"),
            Self::UnknownToken | Self::Tokenless => Some("unknown error"),
            Self::QuotaSpent => Some(""),
        }
    }
}

impl Quota {
    /// The client has announced its start.
    pub(super) fn started(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Records that a token was given out with a message of `peer`.
    pub(super) fn grant(&mut self, token: String, peer: Arc<str>, now: Instant) {
        self.grants.insert(token, Grant { peer, since: now, used: 0 });
    }

    /// Decides on one send, and counts it when it is let through.
    pub(super) fn admit(
        &mut self,
        limits: &Limits,
        peer: &str,
        token: Option<&str>,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.check_burst(limits, now)?;
        if let (Some(idle), Some(last)) = (limits.idle, self.last)
            && age(last, now) >= idle
        {
            return Err(Refusal::Idle);
        }
        self.last = Some(now);
        let Some(token) = token else {
            return match limits.tokenless {
                Tokenless::Allow => Ok(()),
                Tokenless::Reject => Err(Refusal::Tokenless),
            };
        };
        let grant = self.grants.get_mut(token).ok_or(Refusal::UnknownToken)?;
        if *grant.peer != *peer {
            return Err(Refusal::ForeignToken);
        }
        if limits.token_ttl.is_some_and(|ttl| age(grant.since, now) >= ttl) {
            return Err(Refusal::TokenExpired);
        }
        if limits.quota_per_token.is_some_and(|quota| grant.used >= quota) {
            return Err(Refusal::QuotaSpent);
        }
        grant.used = grant.used.saturating_add(1);
        Ok(())
    }

    /// Tries count, not deliveries: that is why a retry loop never gets out of the penalty.
    fn check_burst(&mut self, limits: &Limits, now: Instant) -> Result<(), Refusal> {
        let Some(burst) = limits.burst else {
            self.recent.clear();
            self.penalty_until = None;
            return Ok(());
        };
        if self.penalty_until.is_some_and(|until| until > now) {
            self.penalty_until = Some(later(now, limits.penalty));
            return Err(Refusal::Penalty);
        }
        while self.recent.front().is_some_and(|then| age(*then, now) >= limits.burst_window) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() >= burst as usize {
            self.recent.clear();
            self.penalty_until = Some(later(now, limits.penalty));
            return Err(Refusal::Burst);
        }
        Ok(())
    }
}

fn age(then: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(then)
}

/// A penalty longer than the clock can count is as good as a year.
fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 60 * 60))
}
