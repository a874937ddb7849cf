//! `status`: accounts, who polls them, what waits.

use serde_json::json;

use super::args::{Common, StatusArgs};
use super::open::open;
use super::output::{NOT_OK, Outcome, table};
use crate::contract::{AccountId, ContractError, Delivery, DeliveryState, StatusGetParams};
use crate::events::Events;

/// Shows the status.
pub async fn run(common: &Common, args: StatusArgs) -> Result<Outcome, ContractError> {
    let sidecar = open(common, Events::none()).await?;
    let params = StatusGetParams { account_id: args.account, probe: Some(args.probe) };
    let status = sidecar.status.get(params).await?;
    let mut rows =
        vec![["ACCOUNT", "POLLED BY", "INBOX", "OUTBOX", "CONFIRMED", "BUDGET", "SERVER"].map(str::to_owned).to_vec()];
    let mut items = Vec::new();
    let mut ok = true;
    for account in status.accounts {
        let id = AccountId::normalize(&account.account_id);
        let polled = sidecar.leases.is_held(&id).await;
        let owner = if polled { sidecar.leases.owner(&id).await?.map(|owner| owner.pid) } else { None };
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
        ok &= account.delivery.state != DeliveryState::Unconfirmed;
        rows.push(vec![
            account.account_id.clone(),
            by,
            account.inbox.pending.to_string(),
            account.outbox.held.to_string(),
            confirmed(&account.delivery),
            account
                .budget
                .map_or_else(String::new, |b| format!("{}{}", b.limit, if b.learned { " (learned)" } else { "" })),
            server,
        ]);
        items.push(json!({
            "accountId": account.account_id,
            "polled": polled,
            "pid": owner,
            "inbox": { "pending": account.inbox.pending },
            "outbox": account.outbox,
            "delivery": account.delivery,
            "budget": account.budget,
            "probe": account.probe,
        }));
    }
    sidecar.close().await;
    let text = if items.is_empty() {
        "no accounts; add one with: openclaw-weixin-sidecar login".to_owned()
    } else {
        table(&rows)
    };
    Ok(Outcome { exit: if ok { 0 } else { NOT_OK }, ..Outcome::done(text, json!({ "accounts": items })) })
}

/// Whether what an account sends is confirmed, for a person.
fn confirmed(delivery: &Delivery) -> String {
    match delivery.state {
        DeliveryState::Ok => "yes".to_owned(),
        DeliveryState::Unknown => "nothing yet".to_owned(),
        DeliveryState::Unconfirmed => format!("NO: the last {} were not", delivery.unconfirmed_in_a_row),
    }
}
