//! Sends: each is on disk, with the client id of every wire message, before its first request.

use rusqlite::{Connection, OptionalExtension, params};

use super::{AccountNo, Durability, Store, StoreError, now_ms};

/// How long finished sends are kept, for `idempotencyKey`.
const KEPT_FOR_MS: i64 = 7 * 24 * 3600 * 1000;

/// How far a send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendState {
    /// Not all of its parts were taken by the server.
    Pending,
    /// All were.
    Sent,
    /// It was given up; the error says why.
    Failed,
}

impl SendState {
    fn from_text(text: &str) -> SendState {
        match text {
            "sent" => SendState::Sent,
            "failed" => SendState::Failed,
            _ => SendState::Pending,
        }
    }
}

/// How far a wire message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// The server has not confirmed it.
    Pending,
    /// The server took it.
    Sent,
}

/// One wire message of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundPart {
    /// Its place in the send, from 0.
    pub n: u32,
    /// The same on every try.
    pub client_id: String,
    /// What it says.
    pub text: String,
    /// How far it is.
    pub state: PartState,
    /// The server's id.
    pub message_id: Option<String>,
}

/// A send with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRow {
    /// Its row.
    pub id: i64,
    /// Its account.
    pub account: AccountNo,
    /// To whom.
    pub peer: String,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// How far it is.
    pub state: SendState,
    /// Why it failed: a contract error as JSON.
    pub error: Option<String>,
    /// Its wire messages, in order.
    pub parts: Vec<OutboundPart>,
}

/// What became of an accepted send.
#[derive(Debug)]
pub enum Accepted {
    /// It is new.
    New(OutboundRow),
    /// The same `idempotencyKey` was used before.
    Known(OutboundRow),
}

/// What to write down of a send.
pub(super) struct NewSend {
    pub account: AccountNo,
    pub peer: String,
    pub idem_key: Option<String>,
    pub run_id: Option<String>,
    pub parts: Vec<(String, String)>,
}

impl Store {
    /// Writes a send down, or finds the one that has the same key. `parts` are (client id, text).
    pub async fn accept_send(
        &self,
        account: AccountNo,
        peer: String,
        idem_key: Option<String>,
        run_id: Option<String>,
        parts: Vec<(String, String)>,
    ) -> Result<Accepted, StoreError> {
        let send = NewSend { account, peer, idem_key, run_id, parts };
        self.write(Durability::Disk, move |db| accept(db, send)).await
    }

    /// The send that used `key`.
    pub async fn send_by_key(&self, key: &str) -> Result<Option<OutboundRow>, StoreError> {
        let key = key.to_owned();
        self.read(move |db| by_key(db, &key)).await
    }

    /// Writes down that the server took a part; the last one finishes the send.
    pub async fn part_sent(&self, send: i64, n: u32, message_id: Option<String>) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "UPDATE outbound_part SET state = 'sent', message_id = ?3 WHERE outbound = ?1 AND n = ?2",
            )?
            .execute(params![send, n, message_id])?;
            db.prepare_cached(
                "UPDATE outbound SET state = 'sent', error = NULL WHERE id = ?1 AND NOT EXISTS (
                     SELECT 1 FROM outbound_part WHERE outbound = ?1 AND state <> 'sent')",
            )?
            .execute([send])
            .map(|_| ())
        })
        .await
    }

    /// Writes down that a send was given up, and why. The same key may take it up again.
    pub async fn send_failed(&self, send: i64, error: String) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached("UPDATE outbound SET state = 'failed', error = ?2 WHERE id = ?1 AND state <> 'sent'")?
                .execute(params![send, error])
                .map(|_| ())
        })
        .await
    }

    /// Sends that a process began and did not finish, oldest first. Only those accepted before `before_ms`.
    pub async fn unfinished_sends(&self, account: AccountNo, before_ms: i64) -> Result<Vec<OutboundRow>, StoreError> {
        self.read(move |db| {
            let ids: Vec<i64> = db
                .prepare_cached(
                    "SELECT id FROM outbound WHERE account = ?1 AND state = 'pending' AND created_at < ?2 ORDER BY id",
                )?
                .query_map(params![account.0, before_ms], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            ids.into_iter().map(|id| row(db, id)).collect()
        })
        .await
    }

    /// Forgets finished sends that nobody will ask for again.
    pub async fn prune_sends(&self) -> Result<(), StoreError> {
        self.write(Durability::Process, |db| {
            db.prepare_cached("DELETE FROM outbound WHERE state <> 'pending' AND created_at < ?1")?
                .execute([now_ms() - KEPT_FOR_MS])
                .map(|_| ())
        })
        .await
    }
}

fn accept(db: &Connection, send: NewSend) -> rusqlite::Result<Accepted> {
    if let Some(key) = &send.idem_key
        && let Some(known) = by_key(db, key)?
    {
        return Ok(Accepted::Known(known));
    }
    db.prepare_cached(
        "INSERT INTO outbound (account, peer, idem_key, run_id, state, created_at)
         VALUES (?1, ?2, ?3, ?4, 'pending', ?5)",
    )?
    .execute(params![send.account.0, send.peer, send.idem_key, send.run_id, now_ms()])?;
    let id = db.last_insert_rowid();
    let mut insert = db.prepare_cached(
        "INSERT INTO outbound_part (outbound, n, client_id, text, state) VALUES (?1, ?2, ?3, ?4, 'pending')",
    )?;
    for (n, (client_id, text)) in send.parts.iter().enumerate() {
        insert.execute(params![id, n as i64, client_id, text])?;
    }
    row(db, id).map(Accepted::New)
}

fn by_key(db: &Connection, key: &str) -> rusqlite::Result<Option<OutboundRow>> {
    let id = db
        .prepare_cached("SELECT id FROM outbound WHERE idem_key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    id.map(|id| row(db, id)).transpose()
}

fn row(db: &Connection, id: i64) -> rusqlite::Result<OutboundRow> {
    let parts = db
        .prepare_cached(
            "SELECT n, client_id, text, state, message_id FROM outbound_part WHERE outbound = ?1 ORDER BY n",
        )?
        .query_map([id], |row| {
            let sent = row.get_ref(3)?.as_str()? == "sent";
            Ok(OutboundPart {
                n: row.get(0)?,
                client_id: row.get(1)?,
                text: row.get(2)?,
                state: if sent { PartState::Sent } else { PartState::Pending },
                message_id: row.get(4)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    db.prepare_cached("SELECT account, peer, run_id, state, error FROM outbound WHERE id = ?1")?.query_row(
        [id],
        |row| {
            Ok(OutboundRow {
                id,
                account: AccountNo(row.get(0)?),
                peer: row.get(1)?,
                run_id: row.get(2)?,
                state: SendState::from_text(row.get_ref(3)?.as_str()?),
                error: row.get(4)?,
                parts,
            })
        },
    )
}
