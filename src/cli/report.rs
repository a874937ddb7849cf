//! What a report to Tencent needs of a bot whose messages are not confirmed: times, ids, answers. No text, no token, no
//! whole id of a person.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::contract::{AccountId, ContractError, ErrorKind, StatusGetParams};
use crate::private;
use crate::service::{Sidecar, VERSION};
use crate::store::now_ms;

/// So many of the latest messages are named.
const MESSAGES: usize = 500;

/// Writes the report into a file that is not there yet.
pub async fn write(sidecar: &Sidecar, file: &Path, checks: &Value) -> Result<(), ContractError> {
    let report = collect(sidecar, checks).await?;
    let written = private::new_file(file).and_then(|mut open| {
        open.write_all(format!("{report:#}\n").as_bytes())?;
        open.sync_all()
    });
    written.map_err(|error| {
        let message =
            format!("the report {} cannot be written ({error}); name a file that is not there yet", file.display());
        ContractError::new(ErrorKind::InvalidParams, message)
    })
}

async fn collect(sidecar: &Sidecar, checks: &Value) -> Result<Value, ContractError> {
    let status = sidecar.status.get(StatusGetParams::default()).await?;
    let settings = sidecar.clients.settings();
    let mut accounts = Vec::new();
    for account in sidecar.accounts.list().await? {
        let id = AccountId::normalize(&account.account_id);
        let endpoint = settings.account_endpoint(&id, Some(&account.base_url));
        let stands = status.accounts.iter().find(|one| one.account_id == account.account_id);
        accounts.push(json!({
            "accountId": account.account_id,
            "botId": id.raw_bot_id(),
            "boundBy": account.user_id.as_deref().map(shortened),
            "savedAt": account.saved_at,
            "host": account.base_url,
            "declares": { "channelVersion": endpoint.version.to_string(), "botAgent": endpoint.bot_agent },
            "delivery": stands.map(|status| status.delivery),
            "budget": stands.and_then(|status| status.budget),
            "outbox": stands.map(|status| status.outbox),
        }));
    }
    let messages = sidecar.status.answers(MESSAGES).await?.into_iter().map(|answer| {
        json!({
            "accountId": answer.account_id,
            "to": shortened(&answer.peer),
            "kind": answer.kind,
            "clientId": answer.client_id,
            "messageId": answer.message_id,
            "state": answer.state,
            "tries": answer.tries,
            "acceptedAtMs": answer.created_at,
            "answeredAtMs": answer.answered_at,
        })
    });
    Ok(json!({
        "what": "openclaw-weixin-sidecar: sends and their answers, for a report to Tencent",
        "program": VERSION,
        "madeAtMs": now_ms(),
        "accounts": accounts,
        "messages": messages.collect::<Vec<_>>(),
        "checks": checks,
    }))
}

/// As much of a person's id as tells two apart, and never more than half of it.
fn shortened(id: &str) -> String {
    let (name, domain) = id.split_once('@').map_or((id, None), |(name, domain)| (name, Some(domain)));
    let mut shown: String = name.chars().take(6.min(name.chars().count() / 2)).collect();
    shown.push('…');
    domain.map_or(shown.clone(), |domain| format!("{shown}@{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_named_whole() {
        assert_eq!(shortened("o9cq800kum_ABC@im.wechat"), "o9cq80…@im.wechat");
        assert_eq!(shortened("alice@im.wechat"), "al…@im.wechat");
        assert_eq!(shortened("x"), "…");
    }
}
