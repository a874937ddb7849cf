//! What the outbox asks of the rest of the program.

use std::io::Write as _;

use futures_util::future::BoxFuture;

use super::clients::Clients;
use super::status_feed::tell_standing;
use crate::accounts::StatusRegistry;
use crate::contract::{AccountId, ErrorKind, Locale, OutboundUpdate, Recovery};
use crate::events::{Event, Events};
use crate::media::Library;
use crate::outbound::{
    Answered, MediaPart, NotReady, OutboxContext, OutboxSettings, Ready, Spooled, Typing, discard, measure,
};
use crate::private;
use crate::store::{Confirmations, Standing, now_ms};

/// The rest of the program, for the outbox.
pub struct SendContext {
    /// Sessions and settings.
    pub clients: Clients,
    /// Where sends are counted.
    pub registry: StatusRegistry,
    /// Where files are kept for quotes.
    pub library: Library,
    /// Tickets for typing.
    pub typing: Typing,
    /// The language of notices.
    pub locale: Locale,
    /// Told when a held send ends.
    pub events: Events,
}

impl OutboxContext for SendContext {
    fn ready<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<Ready, NotReady>> {
        Box::pin(async move {
            let session = self.clients.session(account).await.map_err(|error| match error.data.kind {
                ErrorKind::AccountNotConfigured | ErrorKind::AccountNotFound => NotReady::NoLogin(error.message),
                _ => NotReady::Now(error.message),
            })?;
            let ilink = self.clients.ilink().await.map_err(|error| NotReady::Now(error.message))?.clone();
            Ok(Ready { ilink, session, cdn: self.clients.cdn() })
        })
    }

    fn settings(&self) -> OutboxSettings {
        self.clients.settings().outbox(self.locale)
    }

    fn keeps_texts(&self) -> bool {
        self.clients.settings().keeps_texts()
    }

    fn file_done(&self, account: &str, message_id: Option<u64>, part: MediaPart) {
        let settings = self.clients.settings();
        let keep = settings.keeps_texts() && part.size <= settings.media().single;
        let (library, account) = (self.library.clone(), account.to_owned());
        tokio::task::spawn_blocking(move || {
            let kept = message_id.filter(|_| keep).is_some_and(|id| {
                let place = library.place(&account, id, 0, &part.name);
                place.and_then(|place| std::fs::rename(&part.file, place)).is_ok()
            });
            if !kept {
                discard(&part.file);
            }
        });
    }

    fn ended(&self, update: OutboundUpdate) {
        self.events.emit(Event::SendEnded(update));
    }

    fn counted(&self, account: &AccountId, answer: Answered) {
        self.registry.update(account, |entry| {
            let counters = &mut entry.counters;
            match answer {
                Answered::Confirmed => counters.sent += 1,
                Answered::Unconfirmed => counters.unconfirmed += 1,
                Answered::Refused => counters.failed += 1,
            }
            if answer != Answered::Refused {
                entry.last_outbound_at_ms = Some(now_ms());
            }
        });
    }

    fn standing(&self, account: &AccountId, before: Standing, now: Confirmations) {
        tell_standing(&self.registry, account, before, now);
    }

    fn recovering(&self, account: &AccountId, tried: Recovery) {
        self.registry.update(account, |entry| entry.recovery = Some(tried));
        self.registry.tell(account);
    }

    fn fresh_ticket<'a>(&'a self, ready: &'a Ready, account: &'a AccountId, peer: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let renewed = self.typing.renew(&ready.ilink, account, &ready.session, peer).await;
            renewed.inspect_err(|error| tracing::debug!(%account, %error, "there is no fresh typing ticket")).is_ok()
        })
    }

    fn spool_text(&self, text: String) -> BoxFuture<'_, Option<Spooled>> {
        let library = self.library.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || {
                let file = library.spool()?;
                private::new_file(&file)?.write_all(text.as_bytes())?;
                measure(&file).map_err(std::io::Error::other)
            });
            let written = written.await.map_err(std::io::Error::other).and_then(|written| written);
            written.inspect_err(|error| tracing::warn!(%error, "a text could not be put into a file")).ok()
        })
    }
}
