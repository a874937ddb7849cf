//! `doctor`: everything that must be right, checked one after the other.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::args::{Common, DoctorArgs};
use super::open::open;
use super::output::{NOT_OK, Outcome};
use crate::accounts::StateDir;
use crate::contract::{AccountId, ContractError, Delivery, DeliveryState, ErrorKind, StatusGetParams};
use crate::events::Events;
use crate::private;
use crate::service::Sidecar;
use ilink::shown_address;

#[derive(Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

impl Check {
    fn new(name: impl Into<String>, result: Result<String, String>) -> Check {
        let ok = result.is_ok();
        Check { name: name.into(), ok, detail: result.unwrap_or_else(|problem| problem) }
    }
}

/// Runs all checks; one that fails makes the others no less useful.
pub async fn run(common: &Common, args: DoctorArgs) -> Result<Outcome, ContractError> {
    let Some(state) = StateDir::resolve(common.state_dir.as_deref()) else {
        let message = "there is no home directory to keep the state in; set OPENCLAW_STATE_DIR";
        return Err(ContractError::new(ErrorKind::StoreFailed, message));
    };
    let mut checks =
        vec![Check::new("state directory", writable(&state.channel())), Check::new("database", database(&state))];
    match open(common, Events::none()).await {
        Err(error) => checks.push(Check::new("accounts", Err(error.message))),
        Ok(sidecar) => {
            check_accounts(&sidecar, args.offline, &mut checks).await;
            check_delivery(&sidecar, &mut checks).await;
            if !args.offline {
                check_hosts(&sidecar, &mut checks).await;
            }
            if let Some(file) = &args.report {
                let found = serde_json::to_value(&checks).unwrap_or_default();
                let written = super::report::write(&sidecar, file, &found).await;
                let said = written.map(|()| {
                    format!("{}: no texts, no tokens, people shortened; read it before you send it", file.display())
                });
                checks.push(Check::new("report", said.map_err(|error| error.message)));
            }
            sidecar.close().await;
        }
    }
    let ok = checks.iter().all(|check| check.ok);
    let line = |check: &Check| format!("{} {}: {}", if check.ok { "ok  " } else { "FAIL" }, check.name, check.detail);
    let text = checks.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(Outcome { exit: if ok { 0 } else { NOT_OK }, ..Outcome::done(text, json!({ "ok": ok, "checks": checks })) })
}

fn writable(dir: &Path) -> Result<String, String> {
    let probe = dir.join(format!(".doctor-{}", std::process::id()));
    let tried =
        private::make_dir(dir).and_then(|()| std::fs::write(&probe, b"x")).and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Ok(format!("{} can be written", dir.display())),
        Err(error) => {
            Err(format!("{} cannot be written ({error}); check its owner, mode and free space", dir.display()))
        }
    }
}

fn database(state: &StateDir) -> Result<String, String> {
    let path = state.database();
    if !path.exists() {
        return Ok("none yet; it is made at the first start".to_owned());
    }
    let sound = crate::store::check(&path).map_err(|error| error.to_string());
    sound.map(|()| format!("{} is sound", path.display()))
}

async fn check_accounts(sidecar: &Sidecar, offline: bool, checks: &mut Vec<Check>) {
    let accounts = match sidecar.accounts.list().await {
        Ok(accounts) => accounts,
        Err(error) => return checks.push(Check::new("accounts", Err(error.message))),
    };
    if accounts.is_empty() {
        checks.push(Check::new("accounts", Err("none is logged in; run: openclaw-weixin-sidecar login".to_owned())));
    }
    for account in accounts {
        let result = match (account.problem, account.configured) {
            (Some(problem), _) => Err(problem),
            (None, false) => Err("it has no credentials; log in again".to_owned()),
            (None, true) if offline => Ok("has credentials (not asked: --offline)".to_owned()),
            (None, true) => {
                let probe = sidecar.status.probe(&AccountId::normalize(&account.account_id)).await;
                match probe.error {
                    None => Ok(format!("accepted by {} in {} ms", shown_address(&account.base_url), probe.latency_ms)),
                    Some(error) => Err(error),
                }
            }
        };
        checks.push(Check::new(format!("account {}", account.account_id), result));
    }
}

/// Whether what the bots send is confirmed.
async fn check_delivery(sidecar: &Sidecar, checks: &mut Vec<Check>) {
    let status = match sidecar.status.get(StatusGetParams::default()).await {
        Ok(status) => status,
        Err(error) => return checks.push(Check::new("delivery", Err(error.message))),
    };
    for account in status.accounts {
        let Delivery { state, unconfirmed_in_a_row, .. } = account.delivery;
        let result = match state {
            DeliveryState::Unconfirmed => Err(format!(
                "WeChat took the last {unconfirmed_in_a_row} messages and confirmed none: most likely nobody sees them. Another \
                 login does not help; it ends by itself, after hours or weeks. --report FILE collects what Tencent asks for"
            )),
            DeliveryState::Ok => Ok("what it sends is confirmed".to_owned()),
            DeliveryState::Unknown => continue,
        };
        checks.push(Check::new(format!("delivery of {}", account.account_id), result));
    }
}

async fn check_hosts(sidecar: &Sidecar, checks: &mut Vec<Check>) {
    let ilink = match sidecar.clients.ilink().await {
        Ok(ilink) => ilink,
        Err(error) => return checks.push(Check::new("hosts", Err(error.message))),
    };
    let settings = sidecar.clients.settings();
    for (name, url) in [("API host", settings.login_endpoint().base_url), ("media host", settings.cdn_base_url())] {
        let reached = ilink.reach(&url).await;
        let url = shown_address(&url);
        let reached = reached.map_err(|error| format!("{url}: {error}"));
        checks.push(Check::new(name, reached.map(|took| format!("{url} answers in {} ms", took.as_millis()))));
    }
}
