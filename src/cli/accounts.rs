//! `accounts`: list them, remove one, take them along.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::args::{AccountsAction, AccountsArgs, Common};
use super::open::open;
use super::output::{NOT_OK, Outcome, table};
use crate::contract::{
    AccountsExportParams, AccountsImportParams, AccountsListResult, AccountsRemoveResult, ContractError, ErrorKind,
};
use crate::events::Events;
use crate::private;
use crate::service::Sidecar;

/// Lists or removes.
pub async fn run(common: &Common, args: AccountsArgs) -> Result<Outcome, ContractError> {
    let sidecar = open(common, Events::none()).await?;
    let outcome = match args.action.unwrap_or(AccountsAction::List) {
        AccountsAction::List => list(AccountsListResult { accounts: sidecar.accounts.list().await? }),
        AccountsAction::Remove { account } => {
            let id = sidecar.directory.resolve(&account).await?;
            match sidecar.accounts.remove(&id).await? {
                true => Outcome::done(format!("removed {id}"), AccountsRemoveResult { removed: true }),
                false => Outcome {
                    exit: NOT_OK,
                    ..Outcome::done(format!("there is no account {id}"), AccountsRemoveResult { removed: false })
                },
            }
        }
        AccountsAction::Export { accounts, out } => export(&sidecar, accounts, &out).await?,
        AccountsAction::Import { file } => import(&sidecar, &file).await?,
    };
    sidecar.close().await;
    Ok(outcome)
}

async fn export(sidecar: &Sidecar, accounts: Vec<String>, out: &Path) -> Result<Outcome, ContractError> {
    let unwritable = |cause: &dyn Display| {
        let message = format!("{} cannot be written ({cause}); nothing was exported", out.display());
        ContractError::new(ErrorKind::InvalidParams, message)
    };
    // Before anybody thinks of a passphrase.
    let mut file = private::new_file(out).map_err(|error| unwritable(&error))?;
    let made = async {
        let params = AccountsExportParams {
            account_ids: Some(accounts).filter(|ids| !ids.is_empty()),
            passphrase: passphrase("Passphrase for the archive: ", true)?,
        };
        let exported = sidecar.archives.export(params).await?;
        let sealed = STANDARD.decode(&exported.archive).map_err(|error| unwritable(&error))?;
        file.write_all(&sealed).and_then(|()| file.sync_all()).map_err(|error| unwritable(&error))?;
        Ok(exported.account_ids)
    };
    match made.await {
        Ok(ids) => {
            let text = format!("exported {} to {}; keep the passphrase apart from it", ids.join(", "), out.display());
            Ok(Outcome::done(text, json!({ "file": out, "accountIds": ids })))
        }
        Err(error) => {
            let _ = std::fs::remove_file(out);
            Err(error)
        }
    }
}

async fn import(sidecar: &Sidecar, file: &Path) -> Result<Outcome, ContractError> {
    let sealed = std::fs::read(file).map_err(|error| {
        let message = format!("{} cannot be read ({error})", file.display());
        ContractError::new(ErrorKind::InvalidParams, message)
    })?;
    let params = AccountsImportParams {
        archive: STANDARD.encode(sealed),
        passphrase: passphrase("Passphrase of the archive: ", false)?,
    };
    let result = sidecar.archives.import(params).await?;
    let mut lines = Vec::new();
    if !result.imported.is_empty() {
        lines.push(format!("imported {}; make sure that no other machine still uses them", result.imported.join(", ")));
    }
    if !result.kept.is_empty() {
        lines.push(format!("unchanged, the login here is as new or newer: {}", result.kept.join(", ")));
    }
    Ok(Outcome::done(lines.join("\n"), result))
}

/// Asks for a passphrase, twice where a mistake would cost the archive.
fn passphrase(prompt: &str, twice: bool) -> Result<String, ContractError> {
    if let Ok(given) = std::env::var("OPENCLAW_WEIXIN_PASSPHRASE") {
        return Ok(given);
    }
    let failed = |error: std::io::Error| {
        let message =
            format!("no passphrase was given ({error}); run it in a terminal, or set OPENCLAW_WEIXIN_PASSPHRASE");
        ContractError::new(ErrorKind::InvalidParams, message)
    };
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(failed)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let given = rpassword::prompt_password(prompt).map_err(failed)?;
    if twice && rpassword::prompt_password("Repeat the passphrase: ").map_err(failed)? != given {
        return Err(ContractError::new(ErrorKind::InvalidParams, "the two passphrases are not the same"));
    }
    Ok(given)
}

fn list(result: AccountsListResult) -> Outcome {
    if result.accounts.is_empty() {
        return Outcome::done("no accounts; add one with: openclaw-weixin-sidecar login", &result);
    }
    let mut rows = vec![["ACCOUNT", "NAME", "STATE", "WECHAT USER", "SAVED"].map(str::to_owned).to_vec()];
    for account in &result.accounts {
        let state = match (&account.problem, account.configured, account.enabled) {
            (Some(problem), ..) => problem.clone(),
            (None, false, _) => "login needed".to_owned(),
            (None, true, false) => "disabled".to_owned(),
            (None, true, true) => "ready".to_owned(),
        };
        let name = account.name.as_ref().or(account.label.as_ref()).cloned().unwrap_or_default();
        let user = account.user_id.clone().unwrap_or_default();
        rows.push(vec![account.account_id.clone(), name, state, user, account.saved_at.clone().unwrap_or_default()]);
    }
    Outcome::done(table(&rows), &result)
}
