//! The inbox: what the server handed over and the gateway has not acked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{AccountNo, Durability, Store, StoreError, now_ms};

/// A message as a poll brought it.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who sent it.
    pub peer: String,
    /// What makes it unique in its account.
    pub key: u64,
    /// The context token that came with it.
    pub context_token: Option<String>,
    /// What it says, for quotes; `None` keeps nothing for them.
    pub text: Option<String>,
    /// The message as the server sent it: JSON.
    pub wire: String,
}

/// A message that waits in the inbox.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its row; rows of one account are numbered in the order of arrival.
    pub id: i64,
    /// What makes it unique in its account.
    pub key: u64,
    /// How often it was delivered before.
    pub attempt: u32,
    /// The message as the server sent it: JSON.
    pub wire: String,
}

/// What a poll's answer came to.
#[derive(Debug, Default)]
pub struct Ingested {
    /// New messages with their peers, in the order of arrival.
    pub new: Vec<(String, Pending)>,
    /// How many had been taken in before.
    pub duplicates: u64,
}

/// Part of a lane's backlog.
#[derive(Debug)]
pub struct Fetched {
    /// The oldest ones, in order.
    pub messages: Vec<Pending>,
    /// Whether there may be more behind them.
    pub more: bool,
}

impl Store {
    /// Puts a poll's messages and its cursor on disk in one transaction, without those that were taken in before.
    /// `then` gets the result in commit order, before anything that is committed later is announced.
    pub async fn ingest<F>(
        &self,
        account: AccountNo,
        cursor: Option<String>,
        messages: Vec<NewMessage>,
        then: F,
    ) -> Result<u64, StoreError>
    where
        F: FnOnce(Ingested) + Send + 'static,
    {
        let (hand_over, handed) = std::sync::mpsc::sync_channel(1);
        self.write_then(
            Durability::Process,
            move |db| {
                let taken = ingest(db, account, cursor.as_deref(), messages)?;
                let duplicates = taken.duplicates;
                // The result travels beside the job's value, because `then` must own it.
                let _ = hand_over.try_send(taken);
                Ok(duplicates)
            },
            move |_| {
                if let Ok(taken) = handed.try_recv() {
                    then(taken);
                }
            },
        )
        .await
    }

    /// Deletes acked messages, only those of `backend` where one is given; returns how many were there. `then` runs in commit order.
    pub async fn ack<F>(
        &self,
        keys: Vec<(AccountNo, u64)>,
        backend: Option<Arc<str>>,
        then: F,
    ) -> Result<u64, StoreError>
    where
        F: FnOnce() + Send + 'static,
    {
        self.write_then(
            Durability::Process,
            move |db| {
                let mut delete = db.prepare_cached(
                    "DELETE FROM inbox WHERE account = ?1 AND key = ?2 AND (?3 IS NULL OR backend = ?3)",
                )?;
                let mut acked = 0;
                for (account, key) in &keys {
                    acked += delete.execute(params![account.0, *key as i64, backend])? as u64;
                }
                Ok(acked)
            },
            move |_| then(),
        )
        .await
    }

    /// Counts a delivery of each of these rows.
    pub async fn mark_delivered(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            let mut update = db.prepare_cached("UPDATE inbox SET attempt = attempt + 1 WHERE id = ?1")?;
            for id in &ids {
                update.execute([id])?;
            }
            Ok(())
        })
        .await
    }

    /// Peers of an account with messages in the inbox (of `backend`, where one is given), and the row of the oldest, oldest first.
    pub async fn lanes(&self, account: AccountNo, backend: Option<Arc<str>>) -> Result<Vec<(String, i64)>, StoreError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT peer, MIN(id) AS first FROM inbox WHERE account = ?1 AND (?2 IS NULL OR backend = ?2)
                 GROUP BY peer ORDER BY first",
            )?
            .query_map(params![account.0, backend], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
        })
        .await
    }

    /// The messages of one lane (of `backend`, where one is given) behind row `after`, oldest first: `limit` at most, and no more behind the one that fills `bytes`.
    pub async fn lane(
        &self,
        account: AccountNo,
        peer: String,
        backend: Option<Arc<str>>,
        after: i64,
        (limit, bytes): (usize, usize),
    ) -> Result<Fetched, StoreError> {
        self.read(move |db| {
            let mut select = db.prepare_cached(
                "SELECT id, key, attempt, wire FROM inbox
                 WHERE account = ?1 AND peer = ?2 AND id > ?3 AND (?5 IS NULL OR backend = ?5) ORDER BY id LIMIT ?4",
            )?;
            let mut rows = select.query(params![account.0, peer, after, limit as i64, backend])?;
            let (mut messages, mut read) = (Vec::new(), 0);
            while read < bytes
                && let Some(row) = rows.next()?
            {
                let wire: String = row.get(3)?;
                read += wire.len();
                messages.push(Pending {
                    id: row.get(0)?,
                    key: row.get::<_, i64>(1)? as u64,
                    attempt: row.get(2)?,
                    wire,
                });
            }
            let more = messages.len() == limit || read >= bytes;
            Ok(Fetched { messages, more })
        })
        .await
    }

    /// The messages of an account that wait, by key.
    pub async fn waiting_keys(&self, account: AccountNo) -> Result<HashSet<u64>, StoreError> {
        self.read(move |db| {
            db.prepare_cached("SELECT key FROM inbox WHERE account = ?1")?
                .query_map([account.0], |row| Ok(row.get::<_, i64>(0)? as u64))?
                .collect()
        })
        .await
    }

    /// A message that waits (for `backend`, where one is given), by its key, and who sent it.
    pub async fn pending(
        &self,
        account: AccountNo,
        key: u64,
        backend: Option<Arc<str>>,
    ) -> Result<Option<(String, Pending)>, StoreError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT peer, id, attempt, wire FROM inbox
                 WHERE account = ?1 AND key = ?2 AND (?3 IS NULL OR backend = ?3)",
            )?
            .query_row(params![account.0, key as i64, backend], |row| {
                Ok((row.get(0)?, Pending { id: row.get(1)?, key, attempt: row.get(2)?, wire: row.get(3)? }))
            })
            .optional()
        })
        .await
    }

    /// How many messages wait in the inbox, by account id; accounts without any are left out.
    pub async fn inbox_counts(&self) -> Result<HashMap<String, u64>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT account_id, COUNT(*) FROM inbox JOIN account ON account.no = inbox.account GROUP BY account",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
            .collect()
        })
        .await
    }
}

fn ingest(
    db: &Connection,
    account: AccountNo,
    cursor: Option<&str>,
    messages: Vec<NewMessage>,
) -> rusqlite::Result<Ingested> {
    let now = now_ms();
    // An account that another process removed a moment ago takes in nothing more: no row, an error, and the cursor stays.
    db.prepare_cached("SELECT 1 FROM account WHERE no = ?1")?.query_row([account.0], |_| Ok(()))?;
    let mut taken = Ingested::default();
    let mut tokens: HashMap<String, String> = HashMap::new();
    {
        let mut see =
            db.prepare_cached("INSERT OR IGNORE INTO seen (account, key, at, peer, text) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut insert = db.prepare_cached(
            "INSERT INTO inbox (account, peer, key, received_at, wire) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?;
        for message in messages {
            let key = message.key as i64;
            if see.execute(params![account.0, key, now, message.peer, message.text])? == 0
                || insert.execute(params![account.0, message.peer, key, now, message.wire])? == 0
            {
                taken.duplicates += 1;
                continue;
            }
            if let Some(token) = message.context_token {
                tokens.insert(message.peer.clone(), token);
            }
            let id = db.last_insert_rowid();
            taken.new.push((message.peer, Pending { id, key: message.key, attempt: 0, wire: message.wire }));
        }
    }
    let mut remember = db.prepare_cached(
        "INSERT INTO peer (account, peer, context_token, token_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET
             sends = CASE WHEN context_token = excluded.context_token THEN sends ELSE 0 END,
             context_token = excluded.context_token, token_at = excluded.token_at",
    )?;
    for (peer, token) in tokens {
        remember.execute(params![account.0, peer, token, now])?;
        super::quota::heard_from(db, account, &peer)?;
    }
    if let Some(cursor) = cursor {
        db.prepare_cached("UPDATE account SET cursor = ?2 WHERE no = ?1 AND cursor <> ?2")?
            .execute(params![account.0, cursor])?;
    }
    Ok(taken)
}
