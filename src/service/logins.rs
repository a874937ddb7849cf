//! Logins, and what a finished one changes.

use std::sync::Arc;
use std::time::Duration;

use super::account_supervisor::AccountSupervisor;
use super::clients::Clients;
use super::directory::Directory;
use crate::accounts::Login;
use crate::contract::{ContractError, Locale, LoginStartParams, LoginStartResult, LoginState, LoginWaitResult};
use crate::events::Events;
use crate::login::{Hooks, LoginSessions, Snapshot, Start};

/// How long `login.wait` waits by default.
const WAIT: Duration = Duration::from_secs(480);

/// Logins, and what they change.
pub struct Logins {
    /// Those under way.
    pub sessions: LoginSessions,
    /// The client and the settings.
    pub clients: Clients,
    /// Which account is meant.
    pub directory: Directory,
    /// Who runs accounts.
    pub supervisor: Arc<AccountSupervisor>,
    /// Where their progress goes.
    pub events: Events,
    /// The language of texts for people.
    pub locale: Locale,
}

impl Logins {
    /// Starts a login, or returns the one under way for the same account.
    pub async fn start(&self, params: LoginStartParams) -> Result<LoginStartResult, ContractError> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let label = filled(params.label);
        let supervisor = self.supervisor.clone();
        let files = self.clients.files().clone();
        let hooks = Hooks {
            events: self.events.clone(),
            known_tokens: Arc::new(move || files.known_tokens()),
            save: Arc::new(move |login| Box::pin(save(supervisor.clone(), login, label.clone()))),
        };
        let hint = match filled(params.account_id) {
            Some(named) => Some(self.directory.resolve(&named).await?),
            None => None,
        };
        let start = Start {
            hint,
            force: params.force.unwrap_or(false),
            locale: self.locale,
            ilink: self.clients.ilink().await?.clone(),
            home: self.clients.settings().login_endpoint(),
            allowed_hosts: self.clients.settings().allowed_hosts(),
            hooks,
            hint_after: self.clients.settings().login_hint_after(),
        };
        let (session_key, shown) = self.sessions.start(start).await?;
        Ok(LoginStartResult {
            session_key,
            qr_png_data_url: shown.qr.png_data_url(),
            qr_text: shown.qr.terminal_text(),
            qr_url: shown.qr_url,
            expires_at_ms: shown.expires_at_ms,
            message: shown.message,
        })
    }

    /// Waits until a login ends.
    pub async fn wait(&self, key: &str, timeout_ms: Option<u64>) -> Result<LoginWaitResult, ContractError> {
        let timeout = timeout_ms.map_or(WAIT, Duration::from_millis);
        let end: Snapshot = self.sessions.wait(key, timeout).await?;
        Ok(LoginWaitResult {
            connected: end.state == LoginState::Confirmed,
            already_connected: end.state == LoginState::AlreadyConnected,
            state: end.state,
            account_id: end.account.map(|id| id.to_string()),
            user_id: end.user_id,
            message: end.message,
        })
    }

    /// Gives the number that the phone shows.
    pub fn submit_code(&self, key: &str, code: &str) -> Result<(), ContractError> {
        Ok(self.sessions.submit_code(key, code)?)
    }

    /// Ends every login under way, so that whoever waits for one is answered.
    pub fn cancel_all(&self) {
        self.sessions.cancel_all();
    }

    /// Ends a login.
    pub fn cancel(&self, key: &str) -> Result<(), ContractError> {
        Ok(self.sessions.cancel(key)?)
    }
}

/// Saves a login; running accounts take it over.
async fn save(supervisor: Arc<AccountSupervisor>, login: Login, label: Option<String>) -> Result<(), String> {
    let id = login.id.clone();
    let saved =
        supervisor.clients.with_files(move |files| files.save_login(&login)).await.map_err(|error| error.message)?;
    let removed = saved.map_err(|error| error.to_string())?;
    tracing::info!(account = %id, replaced = ?removed, "logged in");
    for old in &removed {
        // The files are gone already; its monitor and its rows follow.
        if let Err(error) = supervisor.remove(old).await {
            tracing::warn!(account = %old, %error, "an account that was replaced left something behind");
        }
    }
    if let Some(label) = label {
        let kept = match supervisor.store.get_or_create_account(&id).await {
            Ok(row) => supervisor.store.set_label(row.no, label).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(account = %id, %error, "the label was not kept");
        }
    }
    supervisor.renew().await;
    Ok(())
}
