//! The wire client and the sessions of accounts, for whoever sends.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::OnceCell;

use super::errors::{not_configured, not_found};
use super::settings::Settings;
use crate::accounts::AccountFiles;
use crate::contract::{AccountId, ContractError, ErrorKind};
use ilink::cdn::{Cdn, Progress};
use ilink::{Hosts, Ilink, Session};

/// Is told how far a file's transfer has come. It must not block.
pub type TransferWatch = Box<dyn Fn(Progress) + Send + Sync>;

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
    /// The wire of one state directory. `transfers` is told how files move.
    pub fn new(files: AccountFiles, settings: Settings, transfers: Option<TransferWatch>) -> Clients {
        let cdn = Cdn::new(&settings.cdn_base_url(), settings.allowed_hosts(), settings.stalls());
        let cdn = match transfers {
            Some(watch) => cdn.watched_by(watch),
            None => cdn,
        };
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

    /// The account files.
    pub fn files(&self) -> &AccountFiles {
        &self.files
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
