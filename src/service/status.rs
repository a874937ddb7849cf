//! How everything is.

use std::sync::Weak;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::sidecar::Sidecar;
use crate::accounts::delivery;
use crate::contract::{
    AccountId, AccountStatus, BudgetStatus, ContractError, OutboxStatus, ProbeResult, ProcessStatus, StatusGetParams,
    StatusGetResult,
};
use crate::ilink::Refusal;
use crate::process;
use crate::store::Answer;

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(10);

impl Sidecar {
    /// The process and its accounts; with `probe` the server is asked whether it accepts them.
    pub async fn status(&self, params: StatusGetParams) -> Result<StatusGetResult, ContractError> {
        let ids = match params.account_id.filter(|id| !id.trim().is_empty()) {
            Some(id) => {
                let id = self.resolve(&id).await?;
                // An id that is nobody's is an error; one without credentials has a status all the same.
                if let Err(error) = self.session(&id).await
                    && error.data.kind == crate::contract::ErrorKind::AccountNotFound
                {
                    return Err(error);
                }
                vec![id]
            }
            None => self.with_files(|files| files.list()).await??,
        };
        let pending = self.store.inbox_counts().await?;
        let waiting = self.store.outbox_counts().await?;
        let confirmations = self.store.confirmations().await?;
        let configured = self.settings().outbox(self.locale).limits.quota;
        let mut accounts = Vec::with_capacity(ids.len());
        for id in ids {
            let entry = self.board.get(&id);
            let mut status: AccountStatus = crate::accounts::status(&id, &entry);
            status.inbox.pending = pending.get(id.as_str()).copied().unwrap_or(0);
            // Of all processes, not only this one's.
            status.delivery = confirmations.get(id.as_str()).copied().map(delivery).unwrap_or_default();
            if let Some(no) = self.store.account_no(&id).await? {
                let (limit, learned) = self.store.quota(no, configured).await?;
                status.budget = Some(BudgetStatus { limit, learned });
            }
            if let Some((held, oldest)) = waiting.get(id.as_str()) {
                status.outbox = OutboxStatus { held: *held, oldest_ms: Some(*oldest) };
            }
            accounts.push((id, status));
        }
        if params.probe.unwrap_or(false) {
            let probes = accounts.iter().map(|(id, _)| self.probe(id));
            let probes = futures_util::future::join_all(probes).await;
            for ((_, status), probe) in accounts.iter_mut().zip(probes) {
                status.probe = Some(probe);
            }
        }
        Ok(StatusGetResult {
            process: ProcessStatus {
                pid: std::process::id(),
                version: super::VERSION.to_owned(),
                uptime_ms: self.uptime().as_millis() as u64,
                rss_bytes: process::resident_bytes(),
            },
            accounts: accounts.into_iter().map(|(_, status)| status).collect(),
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
        let session = self.session(id).await?;
        let of_file = id.clone();
        let file = self.with_files(move |files| files.load(&of_file)).await??.unwrap_or_default();
        let user = file.user_id.unwrap_or_default();
        match self.ilink().await?.get_config(&session, &user, None).await {
            // Whoever scanned the code has not written yet: the server knows the bot all the same.
            Err(error) if error.refusal() == Some(Refusal::NotWrittenYet) => Ok(()),
            asked => Ok(asked.map(|_| ())?),
        }
    }
}

/// Tells how each account is, again and again, so that a gateway knows how old its knowledge is.
pub(super) async fn repeat(sidecar: Weak<Sidecar>, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let Some(sidecar) = sidecar.upgrade() else { return };
        for id in sidecar.board.ids() {
            sidecar.board.tell(&id);
        }
    }
}
