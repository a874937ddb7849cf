//! `outbox`: what waits to be sent; give one up, or try all of it now.

use std::time::Duration;

use serde_json::json;

use super::args::{Common, OutboxAction, OutboxArgs};
use super::open::open;
use super::output::{NOT_OK, Outcome, table};
use crate::contract::{BudgetParams, BudgetResult, ContractError, HeldReason, QueueParams, QueueResult};
use crate::events::Events;
use crate::service::Sidecar;
use crate::store::now_ms;

/// How long `flush` watches what it set off.
const FLUSH: Duration = Duration::from_secs(15);

/// Lists, cancels or flushes.
pub async fn run(common: &Common, args: OutboxArgs) -> Result<Outcome, ContractError> {
    let sidecar = open(common, Events::none()).await?;
    let params = QueueParams { account_id: args.account.clone(), to: args.to };
    if let Some(to) = args.budget {
        let budget = sidecar.sender.budget(BudgetParams { to, account_id: args.account }).await;
        sidecar.close().await;
        return budget.map(|budget| Outcome::done(say(budget), budget));
    }
    let outcome = match args.action.unwrap_or(OutboxAction::List) {
        OutboxAction::List => Ok(list(sidecar.sender.queue(params).await?)),
        OutboxAction::Cancel { queue_id } => sidecar.sender.cancel(&queue_id).await.map(|result| {
            let text = match result.cancelled {
                true => format!("cancelled {queue_id}"),
                false => format!("{queue_id} does not wait (any more)"),
            };
            Outcome { exit: if result.cancelled { 0 } else { NOT_OK }, ..Outcome::done(text, result) }
        }),
        OutboxAction::Flush => flush(&sidecar, params).await,
        OutboxAction::ResetBudget { account } => reset(&sidecar, &account).await,
    };
    sidecar.close().await;
    outcome
}

async fn reset(sidecar: &Sidecar, account: &str) -> Result<Outcome, ContractError> {
    let id = sidecar.directory.resolve(account).await?;
    sidecar.sender.reset_budget(&id).await?;
    Ok(Outcome::done(format!("{id} is back to the configured limit"), json!({ "accountId": id.as_str() })))
}

/// How much may be sent, for a person.
fn say(budget: BudgetResult) -> String {
    let learned = if budget.learned { ", learned from refusals" } else { "" };
    let mut text = format!("{} of {} messages left{learned}", budget.left, budget.limit);
    let in_minutes = |at: i64| (at - now_ms() + 59_999) / 60_000;
    match budget.window_ends_at_ms {
        None => text.push_str("; the person has not written yet"),
        Some(at) if at <= now_ms() => text.push_str("; the person's last message is too old"),
        Some(at) => text.push_str(&format!("; the person's last message is good for {} more minutes", in_minutes(at))),
    }
    if let Some(at) = budget.pace_available_at_ms.filter(|at| *at > now_ms()) {
        text.push_str(&format!("; the bot has to wait {} s first", (at - now_ms() + 999) / 1000));
    }
    text
}

async fn flush(sidecar: &Sidecar, params: QueueParams) -> Result<Outcome, ContractError> {
    let before = sidecar.sender.queue(params.clone()).await?.items.len();
    let account = match params.account_id.as_deref() {
        Some(named) => Some(sidecar.directory.resolve(named).await?),
        None => None,
    };
    sidecar.sender.flush(account.as_ref()).await?;
    let deadline = tokio::time::Instant::now() + FLUSH;
    // What is held says so within moments; what is paced leaves one after the other.
    let mut settled = 0;
    let mut left = sidecar.sender.queue(params.clone()).await?;
    while !left.items.is_empty() && settled < 5 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let now = sidecar.sender.queue(params.clone()).await?;
        settled = if now == left { settled + 1 } else { 0 };
        left = now;
    }
    let sent = before.saturating_sub(left.items.len());
    let text = format!("{sent} of {before} left the outbox\n{}", list(left.clone()).text);
    Ok(Outcome::done(text, left))
}

fn list(result: QueueResult) -> Outcome {
    if result.items.is_empty() {
        return Outcome::done("nothing waits to be sent", &result);
    }
    let mut rows = vec![["ID", "ACCOUNT", "TO", "WAITS FOR", "TEXT"].map(str::to_owned).to_vec()];
    for item in &result.items {
        let text = item.preview.lines().next().unwrap_or_default().to_owned();
        let why = item.reason.map_or("its turn", reason).to_owned();
        rows.push(vec![item.queue_id.clone(), item.account_id.clone(), item.to.clone(), why, text]);
    }
    Outcome::done(table(&rows), &result)
}

fn reason(reason: HeldReason) -> &'static str {
    match reason {
        HeldReason::Quota => "the person's next message (quota used up)",
        HeldReason::Throttled => "WeChat's limits to pass",
        HeldReason::NoContext => "the person's first message",
        HeldReason::ContextExpired => "the person's next message (the last is too old)",
        HeldReason::SessionExpired => "a new login",
        HeldReason::Offline => "the network",
    }
}
