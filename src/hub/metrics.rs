//! Figures for Prometheus. No person's id is in a label.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};

use super::http::{App, CameFrom, Failure, recognise};
use super::session::Session;
use crate::contract::{AccountState, AccountStatus, StatusGetParams};
use crate::store::now_ms;

const STATES: [(AccountState, &str); 6] = [
    (AccountState::Starting, "starting"),
    (AccountState::Polling, "polling"),
    (AccountState::Backoff, "backoff"),
    (AccountState::Paused, "paused"),
    (AccountState::Stopped, "stopped"),
    (AccountState::Superseded, "superseded"),
];

/// A page of figures.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn figure(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `GET /metrics`, for admins and viewers.
pub async fn scrape(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (caller, _) = recognise(&app, &headers, from.ip())?;
    caller.require_observer()?;
    let session = Session::of_request(app.hub.clone(), caller);
    let status = session.status(StatusGetParams { account_id: None, probe: None }).await?;
    let queued = app.hub.sidecar.store.queued().await.map_err(crate::contract::ContractError::from)?;
    let mut page = Page::default();
    accounts(&mut page, &status.accounts);
    page.family("weixin_hub_backend_queued_messages", "gauge", "Messages that wait for a backend.");
    // An empty queue is 0, not missing: an alert compares it.
    let rules = app.hub.rules();
    let known = rules.backends().iter().map(|backend| &*backend.name);
    let names: BTreeSet<&str> =
        queued.keys().map(String::as_str).chain(known).filter(|name| !name.is_empty()).collect();
    let of = |name: &str| queued.get(name).copied().unwrap_or_default();
    for name in &names {
        page.figure("weixin_hub_backend_queued_messages", &[("backend", name)], of(name).messages as f64);
    }
    page.family("weixin_hub_backend_queue_age_seconds", "gauge", "Age of the oldest message that waits for a backend.");
    for name in &names {
        let age = of(name).oldest_at.map_or(0.0, seconds_since);
        page.figure("weixin_hub_backend_queue_age_seconds", &[("backend", name)], age);
    }
    page.family("weixin_hub_backend_connections", "gauge", "Connections of a backend that take messages.");
    for rule in app.hub.rules().backends() {
        let count = app.hub.feeds.connections(&rule.name);
        page.figure("weixin_hub_backend_connections", &[("backend", &rule.name)], count as f64);
    }
    page.family("weixin_hub_unrouted_messages", "gauge", "Messages that no backend was given yet.");
    page.figure("weixin_hub_unrouted_messages", &[], queued.get("").map_or(0, |queued| queued.messages) as f64);
    page.family("weixin_hub_connections", "gauge", "WebSocket connections.");
    page.figure("weixin_hub_connections", &[], app.hub.connections.count() as f64);
    page.family("weixin_hub_build_info", "gauge", "The version, as a label.");
    page.figure("weixin_hub_build_info", &[("version", &status.process.version)], 1.0);
    page.family("process_start_time_seconds", "gauge", "When the process started, in seconds since 1970.");
    page.figure("process_start_time_seconds", &[], app.hub.started_at_ms as f64 / 1000.0);
    page.family("process_resident_memory_bytes", "gauge", "Resident memory.");
    page.figure("process_resident_memory_bytes", &[], status.process.rss_bytes as f64);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0).into_response())
}

fn seconds_since(at_ms: i64) -> f64 {
    (now_ms() - at_ms).max(0) as f64 / 1000.0
}

fn accounts(page: &mut Page, accounts: &[AccountStatus]) {
    page.family("weixin_account_state", "gauge", "1 for the state that an account is in.");
    for account in accounts {
        for (state, name) in STATES {
            let is = if account.state == state { 1.0 } else { 0.0 };
            page.figure("weixin_account_state", &[("account", &account.account_id), ("state", name)], is);
        }
    }
    let mut gauge = |name: &str, help: &str, of: &dyn Fn(&AccountStatus) -> Option<f64>| {
        page.family(name, "gauge", help);
        for account in accounts {
            if let Some(value) = of(account) {
                page.figure(name, &[("account", &account.account_id)], value);
            }
        }
    };
    gauge("weixin_account_last_poll_age_seconds", "Time since the last answered poll.", &|account| {
        account.last_poll_at_ms.map(seconds_since)
    });
    gauge("weixin_account_last_confirmed_age_seconds", "Time since the last send that WeChat confirmed.", &|account| {
        account.delivery.last_confirmed_at_ms.map(seconds_since)
    });
    gauge("weixin_account_inbox_messages", "Messages taken in and not acked yet.", &|account| {
        Some(account.inbox.pending as f64)
    });
    gauge("weixin_account_held_messages", "Messages that wait to be sent.", &|account| {
        Some(account.outbox.held as f64)
    });
    page.family(
        "weixin_account_received_messages_total",
        "counter",
        "Messages received since the start, without duplicates.",
    );
    for account in accounts {
        let labels = [("account", account.account_id.as_str())];
        page.figure("weixin_account_received_messages_total", &labels, account.counters.received as f64);
    }
    page.family(
        "weixin_account_sent_messages_total",
        "counter",
        "Wire messages by how WeChat answered, since the start.",
    );
    for account in accounts {
        let counters = &account.counters;
        for (status, count) in
            [("sent", counters.sent), ("unconfirmed", counters.unconfirmed), ("failed", counters.failed)]
        {
            let labels = [("account", account.account_id.as_str()), ("status", status)];
            page.figure("weixin_account_sent_messages_total", &labels, count as f64);
        }
    }
}
