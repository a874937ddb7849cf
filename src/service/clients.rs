//! The wire client and the sessions of accounts, for whoever sends.

use std::io::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::errors::{not_configured, not_found};
use super::settings::Settings;
use super::status::tell_standing;
use crate::accounts::{AccountFiles, StatusRegistry};
use crate::contract::{AccountId, ContractError, ErrorKind, Locale, OutboundUpdate, Recovery};
use crate::events::{Event, Events};
use crate::media::Library;
use crate::outbound::{
    Answered, MediaPart, NotReady, OutboxContext, OutboxSettings, Ready, Spooled, Typing, discard, measure,
};
use crate::private;
use crate::store::{Confirmations, Standing, now_ms};
use ilink::cdn::Cdn;
use ilink::{Hosts, Ilink, Session};

/// What a request to WeChat needs. Clones share it.
#[derive(Clone)]
pub struct Clients {
    files: AccountFiles,
    settings: Arc<RwLock<Arc<Settings>>>,
    /// Made at the first use: reading the system's certificates takes longer than everything else at the start.
    ilink: Arc<OnceCell<Ilink>>,
    cdn: Cdn,
}

impl Clients {
    /// The wire of one state directory.
    pub fn new(files: AccountFiles, settings: Settings) -> Clients {
        let cdn = Cdn::new(&settings.cdn_base_url(), settings.allowed_hosts(), settings.stalls());
        Clients { files, settings: Arc::new(RwLock::new(Arc::new(settings))), ilink: Arc::default(), cdn }
    }

    /// The media host.
    pub fn cdn(&self) -> Cdn {
        self.cdn.at(&self.settings().cdn_base_url())
    }

    /// The wire client.
    pub async fn ilink(&self) -> Result<&Ilink, ContractError> {
        self.ilink
            .get_or_try_init(|| async {
                let hosts = Hosts::system(&std::env::var("WEIXIN_HOST_ADDRESSES").unwrap_or_default());
                let made = tokio::task::spawn_blocking(|| Ilink::new(hosts)).await;
                let made = made.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))??;
                let made = made.with_folder(&self.files.state().channel());
                Ok(match self.settings().stalled() {
                    Some(stalled) => made.with_stalled(stalled),
                    None => made,
                })
            })
            .await
    }

    /// Makes new connections for what is asked from now on.
    pub fn reconnect(&self) {
        if let Some(ilink) = self.ilink.get() {
            ilink.reconnect(None);
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the settings.
    pub fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Runs file work where it may block.
    pub async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccountFiles) -> T + Send + 'static,
    ) -> Result<T, ContractError> {
        let files = self.files.clone();
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))
    }

    /// An account's authorisation, from its file.
    pub async fn session(&self, id: &AccountId) -> Result<Session, ContractError> {
        let of_file = id.clone();
        let file = self.with_files(move |files| files.load(&of_file)).await?;
        match file.map_err(|error| ContractError::from(error).account(id))? {
            Some(file) => self.settings().session(id, &file).ok_or_else(|| not_configured(id)),
            None => {
                let of_list = id.clone();
                let listed = self.with_files(move |files| files.list().map(|ids| ids.contains(&of_list))).await??;
                Err(if listed { not_configured(id) } else { not_found(id) })
            }
        }
    }
}

/// The wire as the outbox uses it.
pub struct SendContext {
    /// Sessions and settings.
    pub clients: Clients,
    /// Where sends are counted.
    pub board: StatusRegistry,
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
        self.board.update(account, |entry| {
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
        tell_standing(&self.board, account, before, now);
    }

    fn recovering(&self, account: &AccountId, tried: Recovery) {
        self.board.update(account, |entry| entry.recovery = Some(tried));
        self.board.tell(account);
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
