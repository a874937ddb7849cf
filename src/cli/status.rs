//! `status`: accounts, who polls them, what waits.

use serde_json::json;

use super::args::{Common, StatusArgs};
use super::open::open;
use super::output::{Outcome, table};
use crate::accounts::{Lease, LeaseError};
use crate::contract::{AccountId, ContractError, StatusGetParams};
use crate::service::Notices;

/// Shows the status.
pub async fn run(common: &Common, args: StatusArgs) -> Result<Outcome, ContractError> {
    let sidecar = open(common, Notices::none()).await?;
    let params = StatusGetParams { account_id: args.account, probe: Some(args.probe) };
    let status = sidecar.status(params).await?;
    let mut rows = vec![["ACCOUNT", "POLLED BY", "INBOX", "OUTBOX", "SERVER"].map(str::to_owned).to_vec()];
    let mut items = Vec::new();
    let mut ok = true;
    for account in status.accounts {
        let id = AccountId::normalize(&account.account_id);
        // Who holds the lease cannot be asked, only tried: a lease that is taken here is given back at once.
        let polled = matches!(Lease::take(sidecar.files().state(), &id), Err(LeaseError::Held));
        let owner = if polled { sidecar.lease_owner(&id).await? } else { None };
        let by = match (polled, owner) {
            (false, _) => "nobody".to_owned(),
            (true, Some(pid)) => format!("pid {pid}"),
            (true, None) => "a process".to_owned(),
        };
        let server = match &account.probe {
            None => "not asked (--probe)".to_owned(),
            Some(probe) if probe.ok => format!("accepts it ({} ms)", probe.latency_ms),
            Some(probe) => probe.error.clone().unwrap_or_default(),
        };
        ok &= account.probe.as_ref().is_none_or(|probe| probe.ok);
        rows.push(vec![
            account.account_id.clone(),
            by,
            account.inbox.pending.to_string(),
            account.outbox.held.to_string(),
            server,
        ]);
        items.push(json!({
            "accountId": account.account_id,
            "polled": polled,
            "pid": owner,
            "inbox": { "pending": account.inbox.pending },
            "outbox": account.outbox,
            "probe": account.probe,
        }));
    }
    sidecar.close().await;
    let text = if items.is_empty() {
        "no accounts; add one with: openclaw-weixin-sidecar login".to_owned()
    } else {
        table(&rows)
    };
    Ok(Outcome { ok, ..Outcome::done(text, json!({ "accounts": items })) })
}
