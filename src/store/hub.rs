//! The hub's rows: whose a message is, who may ask, whom people chose and who was approved.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Row, params};

use super::{AccountNo, Durability, Pending, Store, StoreError, now_ms};

/// A token, as it is kept: without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub id: String,
    /// SHA-256 of the token, in hex.
    pub hash: String,
    pub backend: String,
    /// `backend`, `admin` or `viewer`.
    pub role: String,
    /// Of which accounts, by id; `None`: of all.
    pub accounts: Option<Vec<String>>,
    /// In milliseconds since 1970, as all times here.
    pub created_at: i64,
    pub used_at: Option<i64>,
}

/// What decides whose the messages of some people are.
#[derive(Clone, Debug, Default)]
pub struct RouteContext {
    /// The backend that a person chose, by person.
    pub choices: HashMap<String, String>,
    /// The backends that a person was approved for, by person.
    pub approved: HashMap<String, Vec<String>>,
    /// The backend that sent a message, by the message's id.
    pub authors: HashMap<String, String>,
}

/// A message that was routed.
#[derive(Clone, Debug)]
pub struct RoutedRow {
    /// Its place among all that were routed.
    pub routed: i64,
    pub peer: String,
    pub key: u64,
    /// As the server sent it: JSON.
    pub wire: String,
}

/// How much waits for a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    pub messages: u64,
    /// When the oldest came.
    pub oldest_at: Option<i64>,
}

/// Somebody who asked for a backend that answers only those who were approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRow {
    pub account_id: String,
    pub peer: String,
    pub backend: String,
    pub code: String,
    pub at: i64,
}

/// What asking for access came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub code: String,
    /// Whether the person is to be told now: not where they were a short while ago.
    pub tell: bool,
}

/// One line of a conversation's trace.
#[derive(Clone, Debug)]
pub struct TraceRow {
    pub at: i64,
    /// Whether the bot sent it.
    pub out: bool,
    pub id: String,
    /// `waiting` or `taken` of what came in; the state of its send of what goes out.
    pub state: String,
    pub backend: Option<String>,
    pub attempt: Option<u32>,
    pub text: Option<String>,
}

impl Store {
    /// What decides whose the messages of `peers` are; `quoted` are the ids of messages that they answer.
    pub async fn route_context(
        &self,
        account: AccountNo,
        peers: Vec<String>,
        quoted: Vec<String>,
    ) -> Result<RouteContext, StoreError> {
        self.read(move |db| {
            let mut context = RouteContext::default();
            let mut choice = db.prepare_cached("SELECT backend FROM hub_choice WHERE account = ?1 AND peer = ?2")?;
            let mut approved = db.prepare_cached(
                "SELECT backend FROM hub_access WHERE account = ?1 AND peer = ?2 AND state = 'approved'",
            )?;
            for peer in peers {
                if let Some(backend) = choice.query_row(params![account.0, peer], |row| row.get(0)).optional()? {
                    context.choices.insert(peer.clone(), backend);
                }
                let of: Vec<String> =
                    approved.query_map(params![account.0, peer], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
                if !of.is_empty() {
                    context.approved.insert(peer, of);
                }
            }
            let mut author = db.prepare_cached(
                "SELECT backend FROM outbound_part JOIN outbound ON outbound.id = outbound_part.outbound
                 WHERE message_id = ?2 AND account = ?1 AND backend IS NOT NULL",
            )?;
            for id in quoted {
                if let Some(backend) = author.query_row(params![account.0, id], |row| row.get(0)).optional()? {
                    context.authors.insert(id, backend);
                }
            }
            Ok(context)
        })
        .await
    }

    /// Gives messages, by row and person, to backends, in this order.
    pub async fn route(&self, account: AccountNo, routes: Vec<(i64, String, Arc<str>)>) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            let mut place: i64 = db.prepare_cached("SELECT last FROM hub_route")?.query_row([], |row| row.get(0))?;
            let mut give =
                db.prepare_cached("UPDATE inbox SET backend = ?2, routed = ?3 WHERE id = ?1 AND backend IS NULL")?;
            let mut served = db.prepare_cached("INSERT OR IGNORE INTO hub_served VALUES (?1, ?2, ?3)")?;
            for (row, peer, backend) in &routes {
                place += 1;
                give.execute(params![row, backend, place])?;
                served.execute(params![account.0, peer, backend])?;
            }
            db.prepare_cached("UPDATE hub_route SET last = ?1")?.execute([place])?;
            Ok(())
        })
        .await
    }

    /// The place that was given last.
    pub async fn last_place(&self) -> Result<i64, StoreError> {
        self.read(|db| db.prepare_cached("SELECT last FROM hub_route")?.query_row([], |row| row.get(0))).await
    }

    /// Messages of an account that nobody was given yet, behind row `after`, oldest first.
    pub async fn unrouted(
        &self,
        account: AccountNo,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(String, Pending)>, StoreError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT peer, id, key, attempt, wire FROM inbox
                 WHERE account = ?1 AND id > ?2 AND backend IS NULL ORDER BY id LIMIT ?3",
            )?
            .query_map(params![account.0, after, limit as i64], |row| {
                let key = row.get::<_, i64>(2)? as u64;
                Ok((row.get(0)?, Pending { id: row.get(1)?, key, attempt: row.get(3)?, wire: row.get(4)? }))
            })?
            .collect()
        })
        .await
    }

    /// What was routed to a backend behind a place, of `accounts` (`None`: of all): `limit` at most, and no more behind the one that
    /// fills `bytes`.
    pub async fn routed_after(
        &self,
        backend: Arc<str>,
        accounts: Option<Vec<String>>,
        after: i64,
        (limit, bytes): (usize, usize),
    ) -> Result<Vec<RoutedRow>, StoreError> {
        self.read(move |db| {
            let mut select = db.prepare_cached(
                "SELECT routed, peer, key, wire FROM inbox JOIN account ON account.no = inbox.account
                 WHERE backend = ?1 AND routed > ?2 AND (?3 IS NULL OR account_id IN (SELECT value FROM json_each(?3)))
                 ORDER BY routed LIMIT ?4",
            )?;
            let mut rows = select.query(params![backend, after, json_list(&accounts), limit as i64])?;
            let (mut found, mut read) = (Vec::new(), 0);
            while read < bytes
                && let Some(row) = rows.next()?
            {
                let wire: String = row.get(3)?;
                read += wire.len();
                let key = row.get::<_, i64>(2)? as u64;
                found.push(RoutedRow { routed: row.get(0)?, peer: row.get(1)?, key, wire });
            }
            Ok(found)
        })
        .await
    }

    /// Deletes what was routed to a backend up to a place, of `accounts` (`None`: of all). Returns what it was.
    pub async fn ack_routed(
        &self,
        backend: Arc<str>,
        accounts: Option<Vec<String>>,
        up_to: i64,
    ) -> Result<Vec<(AccountNo, u64)>, StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached(
                "DELETE FROM inbox WHERE backend = ?1 AND routed <= ?2 AND (?3 IS NULL OR account IN
                     (SELECT no FROM account WHERE account_id IN (SELECT value FROM json_each(?3))))
                 RETURNING account, key",
            )?
            .query_map(params![backend, up_to, json_list(&accounts)], |row| {
                Ok((AccountNo(row.get(0)?), row.get::<_, i64>(1)? as u64))
            })?
            .collect()
        })
        .await
    }

    /// What waits for each backend; what nobody was given yet is under the empty name.
    pub async fn queued(&self) -> Result<HashMap<String, Queued>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT COALESCE(backend, ''), COUNT(*), MIN(received_at) FROM inbox GROUP BY backend")?
                .query_map([], |row| {
                    Ok((row.get(0)?, Queued { messages: row.get::<_, i64>(1)? as u64, oldest_at: row.get(2)? }))
                })?
                .collect()
        })
        .await
    }

    /// Whether a backend was ever given a message of somebody.
    pub async fn is_served(&self, account: AccountNo, peer: &str, backend: &str) -> Result<bool, StoreError> {
        let (peer, backend) = (peer.to_owned(), backend.to_owned());
        self.read(move |db| {
            db.prepare_cached("SELECT 1 FROM hub_served WHERE account = ?1 AND peer = ?2 AND backend = ?3")?
                .exists(params![account.0, peer, backend])
        })
        .await
    }

    /// Remembers the backend that a person chose.
    pub async fn choose(&self, account: AccountNo, peer: &str, backend: &str) -> Result<(), StoreError> {
        let (peer, backend) = (peer.to_owned(), backend.to_owned());
        self.write(Durability::Disk, move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO hub_choice VALUES (?1, ?2, ?3)")?
                .execute(params![account.0, peer, backend])
                .map(|_| ())
        })
        .await
    }

    /// The account whose newest context token for somebody this is.
    pub async fn account_of_token(&self, peer: &str, token: &str) -> Result<Option<String>, StoreError> {
        let (peer, token) = (peer.to_owned(), token.to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT account_id FROM peer JOIN account ON account.no = peer.account WHERE peer = ?1 AND context_token = ?2",
            )?
            .query_row(params![peer, token], |row| row.get(0))
            .optional()
        })
        .await
    }

    /// The backend that sent something, where one did, and from which account.
    pub async fn sender_of(&self, id: i64) -> Result<Option<(String, String)>, StoreError> {
        self.read(move |db| {
            db.prepare_cached(
                "SELECT backend, account_id FROM outbound JOIN account ON account.no = outbound.account
                 WHERE id = ?1 AND backend IS NOT NULL",
            )?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
        })
        .await
    }

    /// The backends of sends that wait, by row.
    pub async fn backends_of_waiting(&self) -> Result<HashMap<i64, String>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT id, backend FROM outbound WHERE state = 'pending' AND backend IS NOT NULL")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await
    }

    /// Writes a token down.
    pub async fn add_token(&self, token: TokenRow) -> Result<(), StoreError> {
        self.write(Durability::Disk, move |db| {
            let TokenRow { id, hash, backend, role, accounts, created_at, used_at } = token;
            db.prepare_cached("INSERT INTO hub_token VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![id, hash, backend, role, json_list(&accounts), created_at, used_at])
                .map(|_| ())
        })
        .await
    }

    /// All tokens, the oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, hash, backend, role, accounts, created_at, used_at FROM hub_token ORDER BY created_at, id",
            )?
            .query_map([], token)?
            .collect()
        })
        .await
    }

    /// Forgets a token. Returns whether there was one.
    pub async fn remove_token(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(Durability::Disk, move |db| {
            db.prepare_cached("DELETE FROM hub_token WHERE id = ?1")?.execute([id]).map(|n| n > 0)
        })
        .await
    }

    /// Writes down when tokens, by id, were last used.
    pub async fn tokens_used(&self, used: Vec<(String, i64)>) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            let mut update = db.prepare_cached("UPDATE hub_token SET used_at = ?2 WHERE id = ?1")?;
            for (id, at) in &used {
                update.execute(params![id, at])?;
            }
            Ok(())
        })
        .await
    }

    /// Somebody asks for a backend: they keep the code that they had, and are told of it once in `again_ms`. `None`: they were denied.
    pub async fn ask_access(
        &self,
        (account, peer, backend): (AccountNo, &str, &str),
        code: String,
        again_ms: i64,
    ) -> Result<Option<Asked>, StoreError> {
        let (peer, backend) = (peer.to_owned(), backend.to_owned());
        self.write(Durability::Disk, move |db| {
            let now = now_ms();
            db.prepare_cached(
                "INSERT OR IGNORE INTO hub_access (account, peer, backend, state, code, at) VALUES (?1, ?2, ?3, 'waiting', ?4, ?5)",
            )?
            .execute(params![account.0, peer, backend, code, now])?;
            let (state, code): (String, String) = db
                .prepare_cached("SELECT state, code FROM hub_access WHERE account = ?1 AND peer = ?2 AND backend = ?3")?
                .query_row(params![account.0, peer, backend], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let tell = db
                .prepare_cached(
                    "UPDATE hub_access SET told_at = ?4
                     WHERE account = ?1 AND peer = ?2 AND backend = ?3 AND told_at < ?5 AND state = 'waiting'",
                )?
                .execute(params![account.0, peer, backend, now, now - again_ms])?;
            Ok((state == "waiting").then_some(Asked { code, tell: tell > 0 }))
        })
        .await
    }

    /// People who asked and were not answered yet, the oldest first.
    pub async fn access_waiting(&self) -> Result<Vec<AccessRow>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT account_id, peer, backend, code, at FROM hub_access
                     JOIN account ON account.no = hub_access.account WHERE state = 'waiting' ORDER BY at",
            )?
            .query_map([], access)?
            .collect()
        })
        .await
    }

    /// Approves or denies somebody who asked. Returns whether there was such a row.
    pub async fn decide_access(
        &self,
        account: AccountNo,
        peer: &str,
        backend: &str,
        approved: bool,
    ) -> Result<bool, StoreError> {
        let (peer, backend) = (peer.to_owned(), backend.to_owned());
        self.write(Durability::Disk, move |db| {
            let state = if approved { "approved" } else { "denied" };
            db.prepare_cached("UPDATE hub_access SET state = ?4 WHERE account = ?1 AND peer = ?2 AND backend = ?3")?
                .execute(params![account.0, peer, backend, state])
                .map(|n| n > 0)
        })
        .await
    }

    /// Approves whoever was given this code. Returns who that is.
    pub async fn approve_code(&self, code: &str) -> Result<Option<AccessRow>, StoreError> {
        let code = code.to_owned();
        self.write(Durability::Disk, move |db| {
            db.prepare_cached("UPDATE hub_access SET state = 'approved' WHERE code = ?1 AND state = 'waiting'")?
                .execute([&code])?;
            db.prepare_cached(
                "SELECT account_id, peer, backend, code, at FROM hub_access
                     JOIN account ON account.no = hub_access.account WHERE code = ?1 AND state = 'approved'",
            )?
            .query_row([&code], access)
            .optional()
        })
        .await
    }

    /// What happened in a conversation, the newest first.
    pub async fn trace(&self, account: AccountNo, peer: &str, limit: usize) -> Result<Vec<TraceRow>, StoreError> {
        let peer = peer.to_owned();
        self.read(move |db| {
            let mut rows: Vec<TraceRow> = db
                .prepare_cached(
                    "SELECT seen.at, seen.key, inbox.id IS NOT NULL, inbox.backend, inbox.attempt, seen.text
                     FROM seen LEFT JOIN inbox ON inbox.account = seen.account AND inbox.key = seen.key
                     WHERE seen.account = ?1 AND seen.peer = ?2 AND from_bot = 0 ORDER BY at DESC LIMIT ?3",
                )?
                .query_map(params![account.0, peer, limit as i64], |row| {
                    let state = if row.get(2)? { "waiting" } else { "taken" };
                    Ok(TraceRow {
                        at: row.get(0)?,
                        out: false,
                        id: (row.get::<_, i64>(1)? as u64).to_string(),
                        state: state.to_owned(),
                        backend: row.get(3)?,
                        attempt: row.get(4)?,
                        text: row.get(5)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let sent = db
                .prepare_cached(
                    "SELECT created_at, outbound.id, outbound.state, held, backend, tries, text
                     FROM outbound JOIN outbound_part ON outbound_part.outbound = outbound.id
                     WHERE account = ?1 AND peer = ?2 ORDER BY outbound.id DESC, n DESC LIMIT ?3",
                )?
                .query_map(params![account.0, peer, limit as i64], |row| {
                    let (state, held): (String, Option<String>) = (row.get(2)?, row.get(3)?);
                    Ok(TraceRow {
                        at: row.get(0)?,
                        out: true,
                        id: format!("q{}", row.get::<_, i64>(1)?),
                        state: held.filter(|_| state == "pending").map_or(state, |why| format!("held: {why}")),
                        backend: row.get(4)?,
                        attempt: row.get(5)?,
                        text: row.get(6)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            rows.extend(sent);
            rows.sort_by_key(|row| std::cmp::Reverse(row.at));
            rows.truncate(limit);
            Ok(rows)
        })
        .await
    }
}

/// A list as SQLite's `json_each` reads it.
pub(super) fn json_list(list: &Option<Vec<String>>) -> Option<String> {
    list.as_ref().map(|list| serde_json::Value::from(list.clone()).to_string())
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let accounts: Option<String> = row.get(4)?;
    Ok(TokenRow {
        id: row.get(0)?,
        hash: row.get(1)?,
        backend: row.get(2)?,
        role: row.get(3)?,
        // Accounts that cannot be read are none, not all.
        accounts: accounts.map(|json| serde_json::from_str(&json).unwrap_or_default()),
        created_at: row.get(5)?,
        used_at: row.get(6)?,
    })
}

fn access(row: &Row<'_>) -> rusqlite::Result<AccessRow> {
    Ok(AccessRow {
        account_id: row.get(0)?,
        peer: row.get(1)?,
        backend: row.get(2)?,
        code: row.get(3)?,
        at: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_id::AccountId;
    use crate::store::NewMessage;

    async fn with_messages(keys: std::ops::RangeInclusive<u64>) -> (Store, AccountNo, Vec<i64>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let account = store.get_or_create_account(&AccountId::normalize("bot")).await.unwrap().no;
        let message = |key| NewMessage { peer: "ann".into(), key, context_token: None, text: None, wire: "{}".into() };
        store.ingest(account, None, keys.map(message).collect(), |_| ()).await.unwrap();
        let rows = store.unrouted(account, 0, 100).await.unwrap().into_iter().map(|(_, pending)| pending.id).collect();
        (store, account, rows, dir)
    }

    async fn places(store: &Store, after: i64) -> Vec<(i64, u64)> {
        let found = store.routed_after("a".into(), None, after, (100, 1 << 20)).await.unwrap();
        found.into_iter().map(|row| (row.routed, row.key)).collect()
    }

    #[tokio::test]
    async fn a_place_is_never_given_twice_whatever_order_rows_are_routed_in() {
        let (store, account, rows, _dir) = with_messages(1..=3).await;
        let to_a = |row: i64| (row, "ann".to_owned(), Arc::from("a"));
        store.route(account, vec![to_a(rows[2])]).await.unwrap();
        assert_eq!(places(&store, 0).await, [(1, 3)]);
        // A cursor behind it must not take along what is routed only then.
        assert_eq!(store.ack_routed("a".into(), None, 1).await.unwrap(), [(account, 3)]);
        store.route(account, vec![to_a(rows[0]), to_a(rows[1])]).await.unwrap();
        assert_eq!(places(&store, 1).await, [(2, 1), (3, 2)]);
        assert!(store.ack_routed("b".into(), None, 9).await.unwrap().is_empty(), "another's");
        assert!(store.ack_routed("a".into(), Some(vec!["other".into()]), 9).await.unwrap().is_empty());
        assert_eq!(store.queued().await.unwrap()["a"].messages, 2);
    }

    #[tokio::test]
    async fn a_stranger_keeps_the_code_is_told_once_and_not_any_more_where_denied() {
        let (store, account, _, _dir) = with_messages(1..=1).await;
        let ask = async |code: &str| store.ask_access((account, "ann", "a"), code.into(), 60_000).await.unwrap();
        assert_eq!(ask("ONE").await, Some(Asked { code: "ONE".into(), tell: true }));
        assert_eq!(ask("TWO").await, Some(Asked { code: "ONE".into(), tell: false }));
        assert!(store.decide_access(account, "ann", "a", false).await.unwrap());
        assert_eq!(ask("THREE").await, None);
        assert!(store.approve_code("ONE").await.unwrap().is_none(), "denied is denied");
        assert!(store.decide_access(account, "ann", "a", true).await.unwrap());
        let context = store.route_context(account, vec!["ann".into()], vec![]).await.unwrap();
        assert_eq!(context.approved["ann"], ["a"]);
    }
}
