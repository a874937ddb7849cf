//! Logins, and what a finished one changes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::sidecar::Sidecar;
use crate::accounts::Login;
use crate::contract::{ContractError, LoginStartParams, LoginStartResult, LoginState, LoginWaitResult};
use crate::login::{Hooks, Snapshot, Start};

/// How long `login.wait` waits by default.
const WAIT: Duration = Duration::from_secs(480);

impl Sidecar {
    /// Starts a login, or returns the one under way for the same account.
    pub async fn start_login(self: &Arc<Self>, params: LoginStartParams) -> Result<LoginStartResult, ContractError> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let label = filled(params.label);
        let weak = Arc::downgrade(self);
        let files = self.files.clone();
        let hooks = Hooks {
            events: self.events.clone(),
            known_tokens: Arc::new(move || files.known_tokens()),
            save: Arc::new(move |login| Box::pin(save(weak.clone(), login, label.clone()))),
        };
        let hint = match filled(params.account_id) {
            Some(named) => Some(self.resolve(&named).await?),
            None => None,
        };
        let start = Start {
            hint,
            force: params.force.unwrap_or(false),
            locale: self.locale,
            ilink: self.ilink().await?.clone(),
            home: self.settings().login_endpoint(),
            allowed_hosts: self.settings().allowed_hosts(),
            hooks,
            hint_after: self.settings().login_hint_after(),
        };
        let (session_key, shown) = self.logins.start(start).await?;
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
    pub async fn wait_login(&self, key: &str, timeout_ms: Option<u64>) -> Result<LoginWaitResult, ContractError> {
        let timeout = timeout_ms.map_or(WAIT, Duration::from_millis);
        let end: Snapshot = self.logins.wait(key, timeout).await?;
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
    pub fn submit_login_code(&self, key: &str, code: &str) -> Result<(), ContractError> {
        Ok(self.logins.submit_code(key, code)?)
    }

    /// Ends a login.
    pub fn cancel_login(&self, key: &str) -> Result<(), ContractError> {
        Ok(self.logins.cancel(key)?)
    }
}

/// Saves a login; running accounts take it over.
async fn save(sidecar: Weak<Sidecar>, login: Login, label: Option<String>) -> Result<(), String> {
    let sidecar = sidecar.upgrade().ok_or("the sidecar is shutting down")?;
    let id = login.id.clone();
    let saved = sidecar.with_files(move |files| files.save_login(&login)).await.map_err(|error| error.message)?;
    let removed = saved.map_err(|error| error.to_string())?;
    tracing::info!(account = %id, replaced = ?removed, "logged in");
    for old in &removed {
        // The files are gone already; its monitor and its rows follow.
        if let Err(error) = sidecar.remove_account(old).await {
            tracing::warn!(account = %old, %error, "an account that was replaced left something behind");
        }
    }
    if let Some(label) = label {
        let kept = match sidecar.store.get_or_create_account(&id).await {
            Ok(row) => sidecar.store.set_label(row.no, label).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(account = %id, %error, "the label was not kept");
        }
    }
    sidecar.renew().await;
    Ok(())
}
