//! Sends: each is on disk, with the client id of every wire message, before its first request, and its row knows how it
//! ended.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::delivery;
use super::hold::HoldReason;
use super::{AccountNo, Durability, QuotaLimits, Store, StoreError, now_ms};
use crate::account_id::AccountId;
use ilink::MessageId;

/// How long finished sends are kept, for `idempotencyKey`.
const KEPT_FOR_MS: i64 = 7 * 24 * 3600 * 1000;
/// Why an extra ended.
const NO_ROOM: &str = "it was an extra, and there was no room for it";
/// How long a process may be at a wire message before another one may think that it is not.
const CLAIM_MS: i64 = 30_000;

/// How far a send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendState {
    /// Not all of its parts were taken by the server.
    Pending,
    /// All were, and each has an id of the server's.
    Sent,
    /// All were, and not each has an id.
    Unconfirmed,
    /// The server refused it.
    Failed,
    /// It waited too long, or too many waited behind it.
    Expired,
    /// Somebody gave it up.
    Cancelled,
}

impl SendState {
    fn text(self) -> &'static str {
        match self {
            SendState::Pending => "pending",
            SendState::Sent => "sent",
            SendState::Unconfirmed => "unconfirmed",
            SendState::Failed => "failed",
            SendState::Expired => "expired",
            SendState::Cancelled => "cancelled",
        }
    }

    fn from_text(text: &str) -> SendState {
        use SendState::*;
        let ends = [Sent, Unconfirmed, Failed, Expired, Cancelled];
        ends.into_iter().find(|state| state.text() == text).unwrap_or(Pending)
    }
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
    /// The file that it is instead of a text: JSON that only the sending side reads.
    pub media: Option<String>,
    /// Whether it was sent, whatever became of that.
    pub tried: bool,
    /// Whether the server took it, with an id or without.
    pub taken: bool,
    /// The server's id.
    pub message_id: Option<String>,
}

/// A send with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRow {
    pub id: i64,
    pub account: AccountNo,
    /// The account's id; empty where the account is gone.
    pub account_id: String,
    pub peer: String,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// How far it is.
    pub state: SendState,
    /// Why it was reported as held.
    pub held: Option<HoldReason>,
    /// Why it was not sent.
    pub error: Option<String>,
    /// It is worth less than an answer: it is sent at once, or not at all.
    pub extra: bool,
    /// The text that was split, where its rest may become a file.
    pub whole: Option<String>,
    /// When it was accepted.
    pub created_at: i64,
    /// Its wire messages, in order.
    pub parts: Vec<OutboundPart>,
}

/// What it changes that the server took a wire message.
#[derive(Debug)]
pub struct Taken {
    /// The send, where that was the last of its parts and it was waiting until now.
    pub finished: Option<OutboundRow>,
    /// Whether what the bot sends is confirmed now has not been told yet.
    pub untold: bool,
}

/// A wire message that was sent, for a report.
#[derive(Clone, Debug)]
pub struct Answer {
    /// From which account.
    pub account_id: String,
    pub peer: String,
    /// When its send was accepted, in milliseconds since 1970, as all times here.
    pub created_at: i64,
    /// Its client id.
    pub client_id: String,
    /// `pending`, `sent` or `unconfirmed`.
    pub state: String,
    /// The id that the server gave it.
    pub message_id: Option<String>,
    /// How often it was sent.
    pub tries: u32,
    /// When the server took it.
    pub answered_at: Option<i64>,
    /// `text`, `image`, `video`, `file` or `voice`.
    pub kind: String,
}

/// What to write down of a send.
#[derive(Debug)]
pub struct NewSend {
    /// From which account.
    pub account: AccountNo,
    pub peer: String,
    /// Makes it the same send as any other with this key.
    pub idem_key: Option<String>,
    /// The agent run it belongs to.
    pub run_id: Option<String>,
    /// It is worth less than an answer: it is sent at once, or not at all.
    pub extra: bool,
    /// The text that was split, where its rest may become a file.
    pub whole: Option<String>,
    /// Which backend of the hub sends it.
    pub backend: Option<String>,
    /// Its wire messages, in order.
    pub parts: Vec<NewPart>,
}

/// A wire message to write down.
#[derive(Debug)]
pub struct NewPart {
    /// The same on every try.
    pub client_id: String,
    /// What it says.
    pub text: String,
    /// The file that it is instead of a text.
    pub media: Option<String>,
}

/// What [`Store::hold`] did.
#[derive(Debug)]
pub struct Held {
    /// Sends that are held.
    pub held: Vec<i64>,
    /// Extras that were given up.
    pub dropped: Vec<i64>,
}

/// The next send of a conversation.
#[derive(Debug)]
pub enum Head {
    None,
    /// This process may send it.
    Mine(OutboundRow),
    /// Another process is at it.
    Theirs {
        /// Which, as it named itself.
        claimed_by: String,
    },
}

impl Store {
    /// Writes a send down, or finds the one that has the same key.
    pub async fn accept_send(&self, send: NewSend) -> Result<OutboundRow, StoreError> {
        self.write(Durability::Disk, move |db| accept(db, send)).await
    }

    /// The send that used `key`.
    pub async fn send_by_key(&self, key: &str) -> Result<Option<OutboundRow>, StoreError> {
        let key = key.to_owned();
        self.read(move |db| by_key(db, &key)).await
    }

    pub async fn find_send(&self, id: i64) -> Result<Option<OutboundRow>, StoreError> {
        self.read(move |db| row(db, id).optional()).await
    }

    /// Claims the oldest waiting send of a conversation for `me`. A claim of somebody of whom `is_gone` is true, or
    /// that has run out, is taken over.
    pub async fn claim_head(
        &self,
        account: AccountNo,
        peer: &str,
        me: &str,
        is_gone: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Head, StoreError> {
        let (peer, me) = (peer.to_owned(), me.to_owned());
        self.write(Durability::Process, move |db| {
            let now = now_ms();
            let head: Option<(i64, Option<String>, i64)> = db
                .prepare_cached(
                    "SELECT id, claimed_by, claimed_until FROM outbound
                     WHERE account = ?1 AND peer = ?2 AND state = 'pending' ORDER BY id LIMIT 1",
                )?
                .query_row(params![account.0, peer], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((id, claimed_by, until)) = head else { return Ok(Head::None) };
            if let Some(claimed_by) = claimed_by
                && claimed_by != me
                && until > now
                && !is_gone(&claimed_by)
            {
                return Ok(Head::Theirs { claimed_by });
            }
            db.prepare_cached("UPDATE outbound SET claimed_by = ?2, claimed_until = ?3 WHERE id = ?1")?
                .execute(params![id, me, now + CLAIM_MS])?;
            row(db, id).map(Head::Mine)
        })
        .await
    }

    /// Writes down that the server took a part, with its id if it gave one; the last part finishes the send. Opens what a
    /// refusal had closed. With `said` the message can be quoted.
    pub async fn part_taken(
        &self,
        send: &OutboundRow,
        n: u32,
        message_id: Option<MessageId>,
        said: Option<String>,
        limits: QuotaLimits,
    ) -> Result<Taken, StoreError> {
        let (id, account, peer) = (send.id, send.account, send.peer.clone());
        self.write(Durability::Process, move |db| {
            let now = now_ms();
            if let (Some(message_id), Some(said)) = (message_id.as_ref().and_then(|id| id.number), said) {
                db.prepare_cached(
                    "INSERT OR REPLACE INTO seen (account, key, at, peer, from_bot, text) VALUES (?1, ?2, ?3, ?4, 1, ?5)",
                )?
                .execute(params![account.0, message_id as i64, now, peer, said])?;
            }
            let state = if message_id.is_some() { SendState::Sent } else { SendState::Unconfirmed };
            let tries: Option<u32> = db
                .prepare_cached(
                    "UPDATE outbound_part SET state = ?3, message_id = ?4, answered_at = ?5 WHERE outbound = ?1 AND n = ?2
                     RETURNING tries",
                )?
                .query_row(params![id, n, state.text(), message_id.as_ref().map(|id| &id.text), now], |row| row.get(0))
                .optional()?;
            // Its account was removed meanwhile, and all its rows.
            let Some(tries) = tries else {
                return Ok(Taken { finished: None, untold: false });
            };
            // A message that was asked for before may have been taken, and given its id, then: it says nothing.
            if message_id.is_some() || tries <= 1 {
                delivery::taken(db, account, &peer, message_id.is_some(), now)?;
            }
            super::quota::open(db, account, &peer)?;
            if message_id.is_some() {
                super::quota::confirmed(db, account, &peer, limits, now)?;
            }
            let (waiting, unconfirmed): (u32, u32) = db
                .prepare_cached(
                    "SELECT COUNT(*) FILTER (WHERE state = 'pending'), COUNT(*) FILTER (WHERE state = 'unconfirmed')
                     FROM outbound_part WHERE outbound = ?1",
                )?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let end = if unconfirmed > 0 { SendState::Unconfirmed } else { SendState::Sent };
            // One that was given up meanwhile stays so, whatever became of this part.
            let finished = if waiting == 0 { self::end(db, id, end, None)? } else { None };
            Ok(Taken { finished, untold: delivery::is_untold(db, account)? })
        })
        .await
    }

    /// Plans a file in the place of a part and of all those behind it. Not where the part was tried before: the server may
    /// have it, and would drop another message with its client id. Returns whether it is planned.
    pub async fn plan_rest(&self, send: i64, n: u32, media: String) -> Result<bool, StoreError> {
        self.write(Durability::Disk, move |db| {
            let planned = db
                .prepare_cached(
                    "UPDATE outbound_part SET media = ?3
                     WHERE outbound = ?1 AND n = ?2 AND tries = 0 AND state = 'pending' AND media IS NULL",
                )?
                .execute(params![send, n, media])?;
            Ok(planned > 0)
        })
        .await
    }

    /// Gives such a plan up; the texts are still there. With `for_good` there will not be another.
    pub async fn give_up_rest(&self, send: i64, n: u32, for_good: bool) -> Result<(), StoreError> {
        self.write(Durability::Disk, move |db| {
            db.prepare_cached(
                "UPDATE outbound_part SET media = NULL WHERE outbound = ?1 AND n = ?2 AND state = 'pending'",
            )?
            .execute(params![send, n])?;
            if for_good {
                db.prepare_cached("UPDATE outbound SET whole = NULL WHERE id = ?1")?.execute([send])?;
            }
            Ok(())
        })
        .await
    }

    /// The file of such a plan, which says `text`, is at the media host: it takes the place of the texts.
    pub async fn replace_rest(&self, send: i64, n: u32, text: String, media: String) -> Result<(), StoreError> {
        self.write(Durability::Disk, move |db| {
            let replaced = db
                .prepare_cached(
                    "UPDATE outbound_part SET text = ?3, media = ?4
                     WHERE outbound = ?1 AND n = ?2 AND tries = 0 AND state = 'pending'",
                )?
                .execute(params![send, n, text, media])?;
            if replaced > 0 {
                db.prepare_cached("DELETE FROM outbound_part WHERE outbound = ?1 AND n > ?2")?
                    .execute(params![send, n])?;
            }
            Ok(())
        })
        .await
    }

    /// Writes down how far a part's file is.
    pub async fn set_part_media(&self, send: i64, n: u32, media: String) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached("UPDATE outbound_part SET media = ?3 WHERE outbound = ?1 AND n = ?2")?
                .execute(params![send, n, media])
                .map(|_| ())
        })
        .await
    }

    /// Holds on to a claim: what is being done takes longer than a wire message.
    pub async fn renew_claim(&self, send: i64, me: &str) -> Result<(), StoreError> {
        let me = me.to_owned();
        self.write(Durability::Process, move |db| {
            db.prepare_cached("UPDATE outbound SET claimed_until = ?3 WHERE id = ?1 AND claimed_by = ?2")?
                .execute(params![send, me, now_ms() + CLAIM_MS])
                .map(|_| ())
        })
        .await
    }

    /// The newest part that sent, or is to send, the file with this MD5 to somebody, written down after `since_ms`.
    pub async fn media_sent_before(
        &self,
        account: AccountNo,
        peer: &str,
        md5: &str,
        since_ms: i64,
    ) -> Result<Option<String>, StoreError> {
        let (peer, md5) = (peer.to_owned(), md5.to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT media FROM outbound_part JOIN outbound ON outbound.id = outbound_part.outbound
                 WHERE account = ?1 AND peer = ?2 AND created_at > ?3 AND media IS NOT NULL
                   AND media ->> '$.md5' = ?4 AND media ->> '$.uploaded' IS NOT NULL
                 ORDER BY outbound.id DESC LIMIT 1",
            )?
            .query_row(params![account.0, peer, since_ms, md5], |row| row.get(0))
            .optional()
        })
        .await
    }

    /// The files of all sends that wait, as their parts describe them.
    pub async fn waiting_media(&self) -> Result<Vec<String>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT media FROM outbound_part JOIN outbound ON outbound.id = outbound_part.outbound
                 WHERE outbound.state = 'pending' AND media IS NOT NULL",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
        })
        .await
    }

    /// Ends a waiting send. Returns it as it is then; `None` where it was not waiting any more.
    pub async fn end_send(
        &self,
        id: i64,
        state: SendState,
        error: Option<String>,
    ) -> Result<Option<OutboundRow>, StoreError> {
        self.write(Durability::Disk, move |db| end(db, id, state, error.as_deref())).await
    }

    /// Marks everything that waits in a conversation as held, and gives the claim back. Extras do not wait: they end.
    pub async fn hold(&self, account: AccountNo, peer: &str, reason: HoldReason) -> Result<Held, StoreError> {
        let peer = peer.to_owned();
        self.write(Durability::Process, move |db| {
            let dropped = db
                .prepare_cached(
                    "UPDATE outbound SET state = 'cancelled', error = ?3
                     WHERE account = ?1 AND peer = ?2 AND state = 'pending' AND extra RETURNING id",
                )?
                .query_map(params![account.0, peer, NO_ROOM], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let held = db
                .prepare_cached(
                    "UPDATE outbound SET held = ?3, claimed_by = NULL WHERE account = ?1 AND peer = ?2 AND state = 'pending'
                     RETURNING id",
                )?
                .query_map(params![account.0, peer, reason.name()], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Held { held, dropped })
        })
        .await
    }

    /// Marks one send as held, if it still waits and is not yet; an extra ends instead.
    pub async fn hold_send(&self, id: i64, reason: HoldReason) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "UPDATE outbound SET state = 'cancelled', error = ?2 WHERE id = ?1 AND state = 'pending' AND extra",
            )?
            .execute(params![id, NO_ROOM])?;
            db.prepare_cached("UPDATE outbound SET held = COALESCE(held, ?2) WHERE id = ?1 AND state = 'pending'")?
                .execute(params![id, reason.name()])?;
            Ok(())
        })
        .await
    }

    /// Ends what waited longer than `ttl_ms`, and in each conversation the oldest beyond `at_most`. Returns them.
    pub async fn expire_sends(&self, ttl_ms: i64, at_most: u32) -> Result<Vec<OutboundRow>, StoreError> {
        self.write(Durability::Disk, move |db| {
            let ids: Vec<i64> = db
                .prepare_cached(
                    "SELECT id FROM (
                         SELECT id, created_at, held, ROW_NUMBER() OVER (PARTITION BY account, peer ORDER BY id DESC) AS nth
                         FROM outbound WHERE state = 'pending')
                     WHERE created_at < ?1 OR (nth > ?2 AND held IS NOT NULL)",
                )?
                .query_map(params![now_ms() - ttl_ms, at_most], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let mut ended = Vec::new();
            for id in ids {
                ended.extend(end(db, id, SendState::Expired, Some("it waited too long, or too many waited behind it"))?);
            }
            Ok(ended)
        })
        .await
    }

    /// Conversations of an account in which something waits.
    pub async fn waiting_conversations(&self, account: AccountNo) -> Result<Vec<String>, StoreError> {
        self.read(move |db| {
            db.prepare_cached("SELECT DISTINCT peer FROM outbound WHERE account = ?1 AND state = 'pending'")?
                .query_map([account.0], |row| row.get(0))?
                .collect()
        })
        .await
    }

    /// Conversations, by account id and peer, in which something waits that nothing but time holds up.
    pub async fn sendable_conversations(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|db| {
            let mut sendable = std::collections::BTreeSet::new();
            let mut waiting = db.prepare_cached(
                "SELECT DISTINCT account_id, peer, held FROM outbound JOIN account ON account.no = outbound.account
                 WHERE state = 'pending'",
            )?;
            let mut rows = waiting.query([])?;
            while let Some(row) = rows.next()? {
                let held: Option<String> = row.get(2)?;
                if held.as_deref().and_then(HoldReason::from_name).is_none_or(HoldReason::passes_with_time) {
                    sendable.insert((row.get(0)?, row.get(1)?));
                }
            }
            Ok(sendable.into_iter().collect())
        })
        .await
    }

    /// What waits, oldest first; only of `account` and to `peer`, where they are given.
    pub async fn waiting_sends(
        &self,
        account: Option<&AccountId>,
        peer: Option<&str>,
    ) -> Result<Vec<OutboundRow>, StoreError> {
        let (account, peer) = (account.map(|id| id.to_string()), peer.map(str::to_owned));
        self.read(move |db| {
            let ids: Vec<i64> = db
                .prepare_cached(
                    "SELECT id FROM outbound JOIN account ON account.no = outbound.account
                     WHERE state = 'pending' AND (?1 IS NULL OR account_id = ?1) AND (?2 IS NULL OR peer = ?2) ORDER BY id",
                )?
                .query_map(params![account, peer], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            ids.into_iter().map(|id| row(db, id)).collect()
        })
        .await
    }

    /// How many sends wait, and since when, by account id; accounts without any are left out.
    pub async fn outbox_counts(&self) -> Result<std::collections::HashMap<String, (u64, i64)>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT account_id, COUNT(*), MIN(created_at) FROM outbound JOIN account ON account.no = outbound.account
                 WHERE state = 'pending' GROUP BY account",
            )?
            .query_map([], |row| Ok((row.get(0)?, (row.get::<_, i64>(1)? as u64, row.get(2)?))))?
            .collect()
        })
        .await
    }

    /// The latest wire messages that were sent, and how they were answered; the newest first.
    pub async fn answers(&self, at_most: usize) -> Result<Vec<Answer>, StoreError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT COALESCE(account_id, ''), peer, outbound.created_at, client_id, outbound_part.state, message_id, tries,
                        answered_at, COALESCE(media ->> '$.kind', 'text')
                 FROM outbound_part JOIN outbound ON outbound.id = outbound_part.outbound
                     LEFT JOIN account ON account.no = outbound.account
                 WHERE tries > 0 OR outbound_part.state <> 'pending' ORDER BY outbound.id DESC, n DESC LIMIT ?1",
            )?
            .query_map([at_most as i64], |row| {
                Ok(Answer {
                    account_id: row.get(0)?,
                    peer: row.get(1)?,
                    created_at: row.get(2)?,
                    client_id: row.get(3)?,
                    state: row.get(4)?,
                    message_id: row.get(5)?,
                    tries: row.get(6)?,
                    answered_at: row.get(7)?,
                    kind: row.get(8)?,
                })
            })?
            .collect()
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

fn accept(db: &Connection, send: NewSend) -> rusqlite::Result<OutboundRow> {
    if let Some(key) = &send.idem_key
        && let Some(known) = by_key(db, key)?
    {
        return Ok(known);
    }
    db.prepare_cached(
        "INSERT INTO outbound (account, peer, idem_key, run_id, state, created_at, whole, extra, backend)
         VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        send.account.0,
        send.peer,
        send.idem_key,
        send.run_id,
        now_ms(),
        send.whole,
        send.extra,
        send.backend
    ])?;
    let id = db.last_insert_rowid();
    let mut insert = db.prepare_cached(
        "INSERT INTO outbound_part (outbound, n, client_id, text, media, state) VALUES (?1, ?2, ?3, ?4, ?5, 'pending')",
    )?;
    for (n, part) in send.parts.iter().enumerate() {
        insert.execute(params![id, n as i64, part.client_id, part.text, part.media])?;
    }
    row(db, id)
}

fn end(db: &Connection, id: i64, state: SendState, error: Option<&str>) -> rusqlite::Result<Option<OutboundRow>> {
    let ended = db
        .prepare_cached("UPDATE outbound SET state = ?2, error = ?3, whole = NULL WHERE id = ?1 AND state = 'pending'")?
        .execute(params![id, state.text(), error])?;
    if ended == 0 { Ok(None) } else { row(db, id).map(Some) }
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
            "SELECT n, client_id, text, state, message_id, media, tries FROM outbound_part WHERE outbound = ?1 ORDER BY n",
        )?
        .query_map([id], part)?
        .collect::<rusqlite::Result<_>>()?;
    db.prepare_cached(
        "SELECT account, COALESCE(account_id, ''), peer, run_id, state, held, error, created_at, whole, extra
         FROM outbound LEFT JOIN account ON account.no = outbound.account WHERE id = ?1",
    )?
    .query_row([id], |row| {
        Ok(OutboundRow {
            id,
            account: AccountNo(row.get(0)?),
            account_id: row.get(1)?,
            peer: row.get(2)?,
            run_id: row.get(3)?,
            state: SendState::from_text(row.get_ref(4)?.as_str()?),
            held: row.get::<_, Option<String>>(5)?.as_deref().and_then(HoldReason::from_name),
            error: row.get(6)?,
            created_at: row.get(7)?,
            whole: row.get(8)?,
            extra: row.get(9)?,
            parts,
        })
    })
}

fn part(row: &Row<'_>) -> rusqlite::Result<OutboundPart> {
    Ok(OutboundPart {
        n: row.get(0)?,
        client_id: row.get(1)?,
        text: row.get(2)?,
        taken: row.get_ref(3)?.as_str()? != "pending",
        message_id: row.get(4)?,
        media: row.get(5)?,
        tried: row.get::<_, u32>(6)? > 0,
    })
}
