//! What a person has to look after: shown in the console, posted where `hub.toml` says.

use serde::Serialize;

use super::hub::Hub;
use crate::contract::{AccountId, AccountState, AccountStatus, ContractError, DeliveryState};
use crate::store::now_ms;

/// How long backends may take to come back after a start before that is an alert.
const COME_BACK_MS: i64 = 30_000;

/// Something that a person has to look after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// `login_expired`, `muted` or `backend_offline`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// In milliseconds since 1970.
    pub since_ms: i64,
    /// What it means, and what to do.
    pub message: String,
}

/// Everything that a person has to look after now.
pub async fn alerts(hub: &Hub, statuses: &[AccountStatus]) -> Result<Vec<Alert>, ContractError> {
    let mut found = Vec::new();
    for status in statuses {
        let id = Some(status.account_id.clone());
        if status.state == AccountState::Paused {
            let message = "WeChat no longer accepts this login: log the account in again".to_owned();
            // Its last answered poll, also of an earlier run.
            let store = &hub.sidecar.store;
            let before = match store.account_no(&AccountId::normalize(&status.account_id)).await? {
                Some(number) => store.last_poll_answered(number).await?,
                None => None,
            };
            let since_ms = status.last_poll_at_ms.or(before).unwrap_or(hub.started_at_ms);
            found.push(Alert { kind: "login_expired", account_id: id.clone(), backend: None, since_ms, message });
        }
        if status.delivery.state == DeliveryState::Unconfirmed {
            let message =
                "WeChat takes this bot's messages without confirming them: most likely nobody sees them".to_owned();
            let since_ms = status.delivery.since_ms.unwrap_or_default();
            found.push(Alert { kind: "muted", account_id: id, backend: None, since_ms, message });
        }
    }
    for (name, queued) in hub.sidecar.store.queued().await? {
        // After a start they have a while to come back.
        let had_time = now_ms() - hub.started_at_ms > COME_BACK_MS;
        if !name.is_empty() && queued.messages > 0 && had_time && !hub.feeds.is_online(&name) {
            let message = format!(
                "{} messages wait for {name}, which is not there: start it, or make a token for it",
                queued.messages
            );
            let since_ms = queued.oldest_at.unwrap_or_default();
            found.push(Alert { kind: "backend_offline", account_id: None, backend: Some(name), since_ms, message });
        }
    }
    Ok(found)
}
