//! Accounts that are taken along: packed into one encrypted file, and unpacked elsewhere.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::account_supervisor::AccountSupervisor;
use super::clients::Clients;
use super::directory::Directory;
use super::errors::not_found;
use crate::accounts::{Archive, ArchivedAccount};
use crate::contract::{
    AccountId, AccountsExportParams, AccountsExportResult, AccountsImportParams, AccountsImportResult, ContractError,
    ErrorKind,
};
use crate::store::Store;

/// Packs accounts, and unpacks them.
pub struct Archives {
    /// The account files.
    pub clients: Clients,
    /// Which account is meant.
    pub directory: Directory,
    /// What accounts are called.
    pub store: Store,
    /// Who runs them.
    pub supervisor: Arc<AccountSupervisor>,
}

impl Archives {
    /// Packs the credentials of accounts: of these, or of all that have any.
    pub async fn export(&self, params: AccountsExportParams) -> Result<AccountsExportResult, ContractError> {
        let wanted = match params.account_ids {
            Some(named) => {
                let mut ids = Vec::with_capacity(named.len());
                for name in &named {
                    ids.push(self.directory.resolve(name).await?);
                }
                Some(ids)
            }
            None => None,
        };
        let labels: std::collections::HashMap<String, String> = self.store.labels().await?.into_iter().collect();
        self.clients
            .with_files(move |files| {
                let listed = files.list()?;
                if let Some(unknown) = wanted.iter().flatten().find(|id| !listed.contains(id)) {
                    return Err(not_found(unknown));
                }
                let mut accounts = Vec::new();
                for id in listed.iter().filter(|id| wanted.as_ref().is_none_or(|wanted| wanted.contains(id))) {
                    let file = files.load(id)?.filter(|file| file.usable_token().is_some());
                    accounts.extend(file.map(|file| ArchivedAccount {
                        account_id: id.to_string(),
                        file,
                        label: labels.get(id.as_str()).cloned(),
                    }));
                }
                if accounts.is_empty() {
                    let message = "there is no account with credentials to export; see accounts.list";
                    return Err(ContractError::new(ErrorKind::AccountNotConfigured, message));
                }
                let account_ids = accounts.iter().map(|account| account.account_id.clone()).collect();
                let archive = Archive::of(accounts).seal(&params.passphrase)?;
                Ok(AccountsExportResult { archive: STANDARD.encode(archive), account_ids })
            })
            .await?
    }

    /// Unpacks accounts. One whose login here is as new or newer stays as it is; running ones take over a newer one.
    pub async fn import(&self, params: AccountsImportParams) -> Result<AccountsImportResult, ContractError> {
        let unpacked = self.clients.with_files(move |files| {
            let sealed = STANDARD.decode(params.archive.trim()).map_err(|error| {
                let message = format!("params.archive: not base64 ({error})");
                ContractError::new(ErrorKind::InvalidParams, message)
            })?;
            let archive = Archive::open(&sealed, &params.passphrase)?;
            let mut result = AccountsImportResult { imported: Vec::new(), kept: Vec::new() };
            let (mut labels, mut replaced) = (Vec::new(), Vec::new());
            let mut failed = None;
            for account in archive.accounts {
                let id = AccountId::normalize(&account.account_id);
                match files.restore(&id, account.file) {
                    Ok(Some(others)) => {
                        // Of several bots of one person the newest is left, in the archive too.
                        result.imported.retain(|known| !others.iter().any(|other| other.as_str() == known));
                        labels.retain(|(known, _)| !others.contains(known));
                        replaced.retain(|known| *known != id);
                        replaced.extend(others);
                        labels.extend(account.label.map(|label| (id.clone(), label)));
                        result.imported.push(id.to_string());
                    }
                    Ok(None) => result.kept.push(id.to_string()),
                    Err(error) => {
                        failed = Some(ContractError::from(error).account(&id));
                        break;
                    }
                }
            }
            Ok::<_, ContractError>((result, labels, replaced, failed))
        });
        let (result, labels, replaced, failed) = unpacked.await??;
        for id in &replaced {
            self.supervisor.remove(id).await?;
        }
        for (id, label) in labels {
            let row = self.store.get_or_create_account(&id).await?;
            self.store.set_label(row.no, label).await?;
        }
        tracing::info!(imported = ?result.imported, kept = ?result.kept, "accounts were imported");
        self.supervisor.renew().await;
        failed.map_or(Ok(result), Err)
    }
}
