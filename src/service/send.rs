//! Texts and typing: which account, which session.

use super::sidecar::Sidecar;
use crate::contract::{
    AccountId, ContractError, ErrorKind, SendResult, SendStatus, SendTextParams, SendTypingParams, SendTypingResult,
};
use crate::outbound::TextRequest;
use crate::store::{OutboundRow, SendState};

impl Sidecar {
    /// Sends a text.
    pub async fn send_text(&self, params: SendTextParams) -> Result<SendResult, ContractError> {
        let to = peer(&params.to)?;
        let key = params.idempotency_key.filter(|key| !key.is_empty());
        // A finished send is answered without asking for an account: it may be gone since.
        if let Some(key) = &key
            && let Some(row) = self.store.send_by_key(key).await?
            && row.state == SendState::Sent
        {
            return Ok(result(row));
        }
        let account = self.account_for(params.account_id.as_deref(), &to).await?;
        let session = self.session(&account).await?;
        let number = self.store.account(&account).await?.no;
        let request = TextRequest {
            account: account.clone(),
            number,
            session,
            to,
            text: params.text,
            run_id: params.run_id.filter(|id| !id.is_empty()),
            idempotency_key: key,
        };
        let sent = self.texts.send(self.ilink().await?, request).await;
        sent.map(result).map_err(|error| ContractError::from(error).account(&account))
    }

    /// Shows or ends typing. Whatever goes wrong is logged: typing is never worth an error.
    pub async fn send_typing(&self, params: SendTypingParams) -> Result<SendTypingResult, ContractError> {
        let to = peer(&params.to)?;
        let account = self.account_for(params.account_id.as_deref(), &to).await?;
        let session = self.session(&account).await?;
        let ilink = self.ilink().await?;
        let shown = match params.active {
            true => self.typing.begin(ilink, &account, &session, &to).await,
            false => self.typing.end(ilink, &account, &session, &to).await,
        };
        if let Err(error) = &shown {
            tracing::debug!(%account, %error, "typing was not shown");
        }
        Ok(SendTypingResult { sent: shown.is_ok() })
    }

    /// The account that a send goes out from: the one that is named, else the only one, else the one that knows the
    /// peer.
    pub async fn account_for(&self, named: Option<&str>, peer: &str) -> Result<AccountId, ContractError> {
        if let Some(named) = named.filter(|named| !named.trim().is_empty()) {
            return Ok(AccountId::normalize(named));
        }
        let configured = self
            .with_files(|files| {
                let ids = files.list()?;
                let usable = |id: &AccountId| files.load(id).ok().flatten().is_some_and(|f| f.usable_token().is_some());
                Ok::<_, crate::accounts::FilesError>(ids.into_iter().filter(usable).collect::<Vec<_>>())
            })
            .await??;
        match configured.as_slice() {
            [] => {
                let message =
                    "no account is logged in; log in first (openclaw channels login --channel openclaw-weixin)";
                return Err(ContractError::new(ErrorKind::AccountNotConfigured, message));
            }
            [only] => return Ok(only.clone()),
            _ => {}
        }
        let mut knowing = self.store.accounts_knowing(peer).await?;
        knowing.retain(|id| configured.contains(id));
        if let [only] = knowing.as_slice() {
            return Ok(only.clone());
        }
        let (why, candidates) = match knowing.is_empty() {
            true => ("none of the accounts has heard from", configured),
            false => ("several accounts know", knowing),
        };
        let names = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("{why} {peer}; name one with accountId: {names}");
        Err(ContractError::new(ErrorKind::AccountAmbiguous, message))
    }
}

fn peer(to: &str) -> Result<String, ContractError> {
    let to = to.trim();
    if to.is_empty() {
        let message = "params.to: must be a WeChat user id, such as abc@im.wechat";
        return Err(ContractError::new(ErrorKind::InvalidParams, message));
    }
    Ok(to.to_owned())
}

fn result(row: OutboundRow) -> SendResult {
    SendResult {
        status: SendStatus::Sent,
        parts: row.parts.len() as u32,
        message_ids: row.parts.iter().filter_map(|part| part.message_id.clone()).collect(),
        client_ids: row.parts.into_iter().map(|part| part.client_id).collect(),
        queue_id: None,
        held_reason: None,
    }
}
