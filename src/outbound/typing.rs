//! The typing indicator: its ticket is cached, and it is repeated until it is ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::contract::AccountId;
use crate::store::{Store, StoreError};
use crate::supervise::lock;
use ilink::{ContextToken, Ilink, IlinkError, Session};

/// WeChat drops the indicator soon after this.
const REPEAT: Duration = Duration::from_secs(5);
/// A gateway that never ends it is helped out.
const AT_MOST: Duration = Duration::from_secs(300);
/// How long a ticket is good.
const TICKET_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Tickets that are kept; beyond it the old ones go.
const TICKETS: usize = 4096;

type Key = (AccountId, String);

/// Why typing was not shown. It is never worth an error to the gateway.
#[derive(Debug, thiserror::Error)]
pub enum TypingError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// iLink refused, or was not reached.
    #[error(transparent)]
    Ilink(#[from] IlinkError),
    /// The server gave no ticket.
    #[error("the server gave no typing ticket")]
    NoTicket,
}

/// Shows typing. Clones share what is shown.
#[derive(Clone)]
pub struct Typing {
    store: Store,
    tickets: Arc<Mutex<HashMap<Key, (String, Instant)>>>,
    /// What is repeated now; dropping the guard ends it.
    shown: Arc<Mutex<Shown>>,
}

/// The repetitions that run.
#[derive(Default)]
struct Shown {
    running: HashMap<Key, (u64, DropGuard)>,
    count: u64,
}

impl Shown {
    /// A new one; one that runs for the same person is told to stop. Returns its number, and what tells it to stop.
    fn begin(&mut self, key: Key) -> (u64, CancellationToken) {
        self.count += 1;
        let stop = CancellationToken::new();
        self.running.insert(key, (self.count, stop.clone().drop_guard()));
        (self.count, stop)
    }

    /// It is told to stop.
    fn end(&mut self, key: &Key) {
        self.running.remove(key);
    }

    /// One is over by itself. Its successor, if there is one, goes on.
    fn over(&mut self, key: &Key, no: u64) {
        if self.running.get(key).is_some_and(|(running, _)| *running == no) {
            self.running.remove(key);
        }
    }
}

impl Typing {
    /// Nothing is shown yet.
    pub fn new(store: Store) -> Typing {
        Typing { store, tickets: Arc::default(), shown: Arc::default() }
    }

    /// Shows typing and repeats it until [`Typing::end`], for five minutes at most.
    pub async fn begin(
        &self,
        ilink: &Ilink,
        account: &AccountId,
        session: &Session,
        peer: &str,
    ) -> Result<(), TypingError> {
        let key = (account.clone(), peer.to_owned());
        self.send(ilink, &key, session, true).await?;
        // A repetition that runs already is replaced: its five minutes begin anew.
        let (no, stop) = lock(&self.shown).begin(key.clone());
        let (typing, ilink, session) = (self.clone(), ilink.clone(), session.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            while began.elapsed() < AT_MOST {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(REPEAT) => {}
                }
                if let Err(error) = typing.send(&ilink, &key, &session, true).await {
                    tracing::debug!(account = %key.0, %error, "typing was not repeated");
                }
            }
            lock(&typing.shown).over(&key, no);
        });
        Ok(())
    }

    pub async fn end(
        &self,
        ilink: &Ilink,
        account: &AccountId,
        session: &Session,
        peer: &str,
    ) -> Result<(), TypingError> {
        let key = (account.clone(), peer.to_owned());
        lock(&self.shown).end(&key);
        self.send(ilink, &key, session, false).await
    }

    /// Replaces the ticket for a person with a fresh one.
    pub async fn renew(
        &self,
        ilink: &Ilink,
        account: &AccountId,
        session: &Session,
        peer: &str,
    ) -> Result<(), TypingError> {
        let key = (account.clone(), peer.to_owned());
        self.fresh_ticket(ilink, &key, session).await.map(|_| ())
    }

    async fn send(&self, ilink: &Ilink, key: &Key, session: &Session, typing: bool) -> Result<(), TypingError> {
        let ticket = self.ticket(ilink, key, session).await?;
        let sent = ilink.send_typing(session, &key.1, &ticket, typing).await;
        if sent.as_ref().is_err_and(|error| !error.is_transient()) {
            lock(&self.tickets).remove(key);
        }
        Ok(sent?)
    }

    async fn ticket(&self, ilink: &Ilink, key: &Key, session: &Session) -> Result<String, TypingError> {
        if let Some((ticket, at)) = lock(&self.tickets).get(key)
            && at.elapsed() < TICKET_LIFE
        {
            return Ok(ticket.clone());
        }
        self.fresh_ticket(ilink, key, session).await
    }

    /// Asks the server for a ticket, whatever there is.
    async fn fresh_ticket(&self, ilink: &Ilink, key: &Key, session: &Session) -> Result<String, TypingError> {
        let peer = self.store.peer(&key.0, &key.1).await?;
        let token = peer.as_ref().and_then(|peer| ContextToken::new(&peer.context_token));
        let answer = ilink.get_config(session, &key.1, token.as_ref()).await?;
        let ticket = answer.typing_ticket.filter(|ticket| !ticket.is_empty()).ok_or(TypingError::NoTicket)?;
        let mut tickets = lock(&self.tickets);
        if tickets.len() >= TICKETS {
            tickets.retain(|_, (_, at)| at.elapsed() < TICKET_LIFE);
        }
        if tickets.len() >= TICKETS {
            tickets.clear();
        }
        tickets.insert(key.clone(), (ticket.clone(), Instant::now()));
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_takes_only_itself_away() {
        let mut shown = Shown::default();
        let key = || (AccountId::normalize("bot"), "ann".to_owned());
        let (first, first_stop) = shown.begin(key());
        let (second, second_stop) = shown.begin(key());
        assert!(first_stop.is_cancelled() && !second_stop.is_cancelled());
        shown.over(&key(), first);
        assert!(!second_stop.is_cancelled());
        shown.over(&key(), second);
        assert!(second_stop.is_cancelled() && shown.running.is_empty());
        let (_, third_stop) = shown.begin(key());
        shown.end(&key());
        assert!(third_stop.is_cancelled());
    }
}
