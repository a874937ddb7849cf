//! How everything is.

use std::time::{Duration, Instant};

use super::clients::Clients;
use super::directory::Directory;
use super::status_feed::add_what_is_on_disk;
use crate::accounts::StatusRegistry;
use crate::contract::{
    AccountId, AccountStatus, ContractError, ErrorKind, ProbeResult, ProcessStatus, StatusGetParams, StatusGetResult,
};
use crate::process;
use crate::store::{Answer, Store};
use ilink::Refusal;

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(10);

/// Says how everything is.
pub struct Status {
    /// The client and the sessions.
    pub clients: Clients,
    /// Which account is meant.
    pub directory: Directory,
    /// What the database knows.
    pub store: Store,
    /// What this process knows.
    pub registry: StatusRegistry,
    /// Since when it runs.
    pub started: Instant,
}

impl Status {
    /// The process and its accounts; with `probe` the server is asked whether it accepts them.
    pub async fn get(&self, params: StatusGetParams) -> Result<StatusGetResult, ContractError> {
        let ids = match params.account_id.filter(|id| !id.trim().is_empty()) {
            Some(id) => {
                let id = self.directory.resolve(&id).await?;
                // An id that is nobody's is an error; one without credentials has a status all the same.
                if let Err(error) = self.clients.session(&id).await
                    && error.data.kind == ErrorKind::AccountNotFound
                {
                    return Err(error);
                }
                vec![id]
            }
            None => self.clients.with_files(|files| files.list()).await??,
        };
        let mut accounts: Vec<AccountStatus> =
            ids.iter().map(|id| crate::accounts::status(id, &self.registry.get(id))).collect();
        add_what_is_on_disk(&self.store, &self.clients, &mut accounts).await?;
        if params.probe.unwrap_or(false) {
            let probes = futures_util::future::join_all(ids.iter().map(|id| self.probe(id))).await;
            for (status, probe) in accounts.iter_mut().zip(probes) {
                status.probe = Some(probe);
            }
        }
        Ok(StatusGetResult {
            process: ProcessStatus {
                pid: std::process::id(),
                version: super::VERSION.to_owned(),
                uptime_ms: self.started.elapsed().as_millis() as u64,
                rss_bytes: process::resident_bytes(),
            },
            accounts,
        })
    }

    /// The latest wire messages and how they were answered, for a report.
    pub async fn answers(&self, at_most: usize) -> Result<Vec<Answer>, ContractError> {
        Ok(self.store.answers(at_most).await?)
    }

    /// Asks the server whether it accepts an account, with a request that changes nothing.
    pub async fn probe(&self, id: &AccountId) -> ProbeResult {
        let began = Instant::now();
        let asked = tokio::time::timeout(PROBE, self.ask(id)).await;
        let error = match asked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.message),
            Err(_) => Some(format!("no answer within {} s", PROBE.as_secs())),
        };
        ProbeResult { ok: error.is_none(), latency_ms: began.elapsed().as_millis() as u64, error }
    }

    async fn ask(&self, id: &AccountId) -> Result<(), ContractError> {
        let session = self.clients.session(id).await?;
        let of_file = id.clone();
        let file = self.clients.with_files(move |files| files.load(&of_file)).await??.unwrap_or_default();
        let user = file.user_id.unwrap_or_default();
        match self.clients.ilink().await?.get_config(&session, &user, None).await {
            // Whoever scanned the code has not written yet: the server knows the bot all the same.
            Err(error) if error.refusal() == Some(Refusal::NotWrittenYet) => Ok(()),
            asked => Ok(asked.map(|_| ())?),
        }
    }
}
