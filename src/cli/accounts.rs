//! `accounts`: list them, remove one.

use super::args::{AccountsAction, AccountsArgs, Common};
use super::open::open;
use super::output::{Outcome, table};
use crate::contract::{AccountId, AccountsListResult, AccountsRemoveResult, ContractError};
use crate::service::Notices;

/// Lists or removes.
pub async fn run(common: &Common, args: AccountsArgs) -> Result<Outcome, ContractError> {
    let sidecar = open(common, Notices::none()).await?;
    let outcome = match args.action.unwrap_or(AccountsAction::List) {
        AccountsAction::List => list(AccountsListResult { accounts: sidecar.accounts().await? }),
        AccountsAction::Remove { account } => {
            let id = AccountId::normalize(&account);
            match sidecar.remove_account(&id).await? {
                true => Outcome::done(format!("removed {id}"), AccountsRemoveResult { removed: true }),
                false => Outcome {
                    ok: false,
                    ..Outcome::done(format!("there is no account {id}"), AccountsRemoveResult { removed: false })
                },
            }
        }
    };
    sidecar.close().await;
    Ok(outcome)
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
