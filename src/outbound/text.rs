//! A text, from the request to the last confirmed wire message.

use std::time::Duration;

use tokio::time::Instant;

use super::chunk::chunk;
use super::lanes::Lanes;
use super::markdown::for_wechat;
use crate::accounts::Board;
use crate::contract::{AccountId, TEXT_CHUNK_LIMIT};
use crate::ilink::{ContextToken, Ilink, IlinkError, OutgoingText, Session};
use crate::store::{Accepted, AccountNo, OutboundPart, OutboundRow, PartState, SendState, Store, StoreError, now_ms};

/// How long a send is retried after network failures before its caller is told.
const RETRY_FOR: Duration = Duration::from_secs(15);
/// The first wait between two tries; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Why a text was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is nothing to send.
    #[error("text: nothing is left to send (it is blank, or holds only what WeChat cannot show)")]
    Empty,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// iLink refused, or was not reached.
    #[error(transparent)]
    Ilink(#[from] IlinkError),
}

/// A text to send.
pub struct TextRequest {
    /// From which account.
    pub account: AccountId,
    /// Its number.
    pub number: AccountNo,
    /// Its authorisation.
    pub session: Session,
    /// To whom.
    pub to: String,
    /// Markdown.
    pub text: String,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// Makes it the same send as any other with this key.
    pub idempotency_key: Option<String>,
}

/// Sends texts. Clones share the lanes.
#[derive(Clone)]
pub struct Texts {
    store: Store,
    board: Board,
    lanes: Lanes,
}

impl Texts {
    /// A sender on this database.
    pub fn new(store: Store, board: Board) -> Texts {
        Texts { store, board, lanes: Lanes::default() }
    }

    /// Sends a text and returns it with its parts when the server has taken all of them.
    ///
    /// With a known `idempotency_key` nothing new is sent: a finished send is returned again, an unfinished one is
    /// finished, with the client ids it had.
    pub async fn send(&self, ilink: &Ilink, request: TextRequest) -> Result<OutboundRow, SendError> {
        let TextRequest { account, number, session, to, text, run_id, idempotency_key } = request;
        let texts = chunk(&for_wechat(&text), TEXT_CHUNK_LIMIT);
        if texts.is_empty() {
            return Err(SendError::Empty);
        }
        let parts = texts.into_iter().map(|text| (client_id(), text)).collect();
        // The lane is entered before the row is made: rows of a conversation are then in the order of sending.
        let _turn = self.lanes.enter(number, &to).await;
        let row = match self.store.accept_send(number, to, idempotency_key, run_id, parts).await? {
            Accepted::New(row) => row,
            Accepted::Known(row) if row.state == SendState::Sent => return Ok(row),
            Accepted::Known(row) => row,
        };
        self.finish(ilink, &account, &session, row).await
    }

    /// Finishes what an earlier process began and did not finish, in order. Failures stay for the next start.
    pub async fn resume(&self, ilink: &Ilink, account: &AccountId, number: AccountNo, session: &Session) {
        let rows = match self.store.unfinished_sends(number, now_ms()).await {
            Ok(rows) => rows,
            Err(error) => return tracing::error!(%account, %error, "unfinished sends could not be read"),
        };
        for row in rows {
            let id = row.id;
            let _turn = self.lanes.enter(number, &row.peer).await;
            match self.finish(ilink, account, session, row).await {
                Ok(_) => tracing::info!(%account, send = id, "a send of an earlier run was finished"),
                Err(error) => tracing::warn!(%account, send = id, %error, "a send of an earlier run was not finished"),
            }
        }
    }

    async fn finish(
        &self,
        ilink: &Ilink,
        account: &AccountId,
        session: &Session,
        mut row: OutboundRow,
    ) -> Result<OutboundRow, SendError> {
        let peer = self.store.peer(account, &row.peer).await?;
        let token = peer.as_ref().and_then(|peer| ContextToken::new(&peer.context_token));
        for at in 0..row.parts.len() {
            if row.parts[at].state == PartState::Sent {
                continue;
            }
            match send_part(ilink, session, &row, &row.parts[at], token.as_ref()).await {
                Ok(message_id) => {
                    self.store.part_sent(row.id, row.parts[at].n, message_id.clone()).await?;
                    row.parts[at].state = PartState::Sent;
                    row.parts[at].message_id = message_id;
                    self.board.update(account, |entry| {
                        entry.counters.sent += 1;
                        entry.last_outbound_at_ms = Some(now_ms());
                    });
                }
                Err(error) => {
                    self.board.update(account, |entry| entry.counters.failed += 1);
                    self.store.send_failed(row.id, error.to_string()).await?;
                    return Err(error.into());
                }
            }
        }
        row.state = SendState::Sent;
        Ok(row)
    }
}

/// Sends one wire message; what the network or the server's own trouble failed is tried again with the same client id.
async fn send_part(
    ilink: &Ilink,
    session: &Session,
    row: &OutboundRow,
    part: &OutboundPart,
    token: Option<&ContextToken>,
) -> Result<Option<String>, IlinkError> {
    let message = OutgoingText {
        to: &row.peer,
        client_id: &part.client_id,
        text: &part.text,
        context_token: token,
        run_id: row.run_id.as_deref(),
    };
    let deadline = Instant::now() + RETRY_FOR;
    let mut wait = FIRST_WAIT;
    loop {
        match ilink.send_text(session, &message).await {
            Ok(answer) => return Ok(answer.message_id.filter(|id| *id != 0).map(|id| id.to_string())),
            Err(error) if error.is_transient() && Instant::now() + wait < deadline => {
                tracing::warn!(%error, "a message was not confirmed; sending it again");
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A new client id, unique without asking anybody.
fn client_id() -> String {
    format!("openclaw-weixin-{:032x}", rand::random::<u128>())
}
