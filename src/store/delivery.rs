//! Whether what a bot sends is confirmed. WeChat answers a send that it delivers with an id; a bot that it has muted gets
//! the same answers without one, for days, and nobody sees its messages.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::{AccountNo, Durability, Store, StoreError};

/// So many unconfirmed sends in a row make a bot muted where they went to several people.
const OF_SEVERAL: u32 = 3;
/// So many do, whoever they went to.
const IN_ALL: u32 = 5;

/// What the server's answers say of a bot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmations {
    /// Sends without an id since the last one with an id.
    pub unconfirmed: u32,
    /// When the first of them was sent, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Whether there were too many of them to be an accident.
    pub muted: bool,
    /// When a send was last given an id, in milliseconds since 1970.
    pub confirmed_at: Option<i64>,
}

/// A wire message that was sent, for a report.
#[derive(Clone, Debug)]
pub struct Answer {
    /// From which account.
    pub account_id: String,
    /// To whom.
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

impl Confirmations {
    pub(super) fn of(db: &Connection, account: AccountNo) -> rusqlite::Result<Confirmations> {
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM account WHERE no = ?1"))?
            .query_row([account.0], Confirmations::read)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Confirmations> {
        Ok(Confirmations {
            unconfirmed: row.get(0)?,
            since_ms: row.get(1)?,
            muted: row.get(2)?,
            confirmed_at: row.get(3)?,
        })
    }
}

const COLUMNS: &str = "unconfirmed, unconfirmed_since, muted, confirmed_at";

impl Store {
    /// What the server's answers say of each bot that has sent something, by account id.
    pub async fn confirmations(&self) -> Result<HashMap<String, Confirmations>, StoreError> {
        self.read(|db| {
            let sql =
                format!("SELECT {COLUMNS}, account_id FROM account WHERE unconfirmed > 0 OR confirmed_at IS NOT NULL");
            db.prepare_cached(&sql)?.query_map([], |row| Ok((row.get(4)?, Confirmations::read(row)?)))?.collect()
        })
        .await
    }

    /// What the server's answers say of one bot.
    pub async fn confirmations_of(&self, account: AccountNo) -> Result<Confirmations, StoreError> {
        self.read(move |db| Confirmations::of(db, account)).await
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

    /// Writes down that a poll was answered.
    pub async fn poll_answered(&self, account: AccountNo, at: i64) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached("UPDATE account SET poll_answered_at = ?2 WHERE no = ?1")?
                .execute(params![account.0, at])
                .map(|_| ())
        })
        .await
    }

    /// When a poll of this account was last answered, to some minutes; `None` where none ever was.
    pub async fn last_poll_answered(&self, account: AccountNo) -> Result<Option<i64>, StoreError> {
        self.read(move |db| {
            let at: i64 = db
                .prepare_cached("SELECT poll_answered_at FROM account WHERE no = ?1")?
                .query_row([account.0], |row| row.get(0))?;
            Ok(Some(at).filter(|at| *at > 0))
        })
        .await
    }

    /// Whether a refusal to prepare a message may be answered with a new start: once in `every_ms`. Counts as one if so.
    pub async fn may_revive(&self, account: AccountNo, now: i64, every_ms: i64) -> Result<bool, StoreError> {
        self.write(Durability::Process, move |db| {
            // A clock that was set back must not keep a bot from it for ever.
            db.prepare_cached(
                "UPDATE account SET revived_at = ?2 WHERE no = ?1 AND (revived_at <= ?2 - ?3 OR revived_at > ?2)",
            )?
            .execute(params![account.0, now, every_ms])
            .map(|changed| changed > 0)
        })
        .await
    }
}

/// The server took a message of this account, to this person: with an id, or without one.
pub(super) fn taken(
    db: &Connection,
    account: AccountNo,
    peer: &str,
    confirmed: bool,
    now: i64,
) -> rusqlite::Result<()> {
    if confirmed {
        return db
            .prepare_cached(
                "UPDATE account SET confirmed_at = ?2, unconfirmed = 0, unconfirmed_since = NULL, unconfirmed_peer = NULL,
                     muted = 0
                 WHERE no = ?1",
            )?
            .execute(params![account.0, now])
            .map(|_| ());
    }
    db.prepare_cached(
        "UPDATE account SET unconfirmed = unconfirmed + 1,
             unconfirmed_since = COALESCE(unconfirmed_since, ?3),
             unconfirmed_peer = CASE WHEN unconfirmed_peer IS NULL OR unconfirmed_peer = ?2 THEN ?2 ELSE '' END
         WHERE no = ?1",
    )?
    .execute(params![account.0, peer, now])?;
    db.prepare_cached(
        "UPDATE account SET muted = 1
         WHERE no = ?1 AND (unconfirmed >= ?3 OR (unconfirmed >= ?2 AND unconfirmed_peer = ''))",
    )?
    .execute(params![account.0, OF_SEVERAL, IN_ALL])
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::AccountId;

    async fn bot(dir: &tempfile::TempDir) -> (Store, AccountNo) {
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let no = store.account(&AccountId::normalize("b")).await.unwrap().no;
        (store, no)
    }

    async fn after(store: &Store, no: AccountNo, answers: &'static [(&'static str, bool)]) -> Confirmations {
        let job = move |db: &Connection| {
            answers.iter().enumerate().try_for_each(|(n, (peer, ok))| taken(db, no, peer, *ok, 100 + n as i64))
        };
        store.write(Durability::Process, job).await.unwrap();
        store.confirmations().await.unwrap()["b"]
    }

    #[tokio::test]
    async fn three_over_two_people_or_five_in_all_are_too_many_and_one_confirmed_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, no) = bot(&dir).await;
        let found = after(&store, no, &[("a", false), ("a", false), ("a", false), ("a", false)]).await;
        assert_eq!((found.unconfirmed, found.muted, found.confirmed_at), (4, false, None));
        assert!(after(&store, no, &[("a", false)]).await.muted);
        let found = after(&store, no, &[("a", true)]).await;
        assert_eq!(found, Confirmations { confirmed_at: Some(100), ..Confirmations::default() });
        assert!(!after(&store, no, &[("a", false), ("b", false)]).await.muted);
        let found = after(&store, no, &[("a", false)]).await;
        assert_eq!((found.unconfirmed, found.muted, found.since_ms), (3, true, Some(100)));
    }

    #[tokio::test]
    async fn a_new_start_is_made_once_in_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (store, no) = bot(&dir).await;
        assert!(store.may_revive(no, 1_000_000, 1_000).await.unwrap());
        assert!(!store.may_revive(no, 1_000_999, 1_000).await.unwrap());
        assert!(store.may_revive(no, 1_001_000, 1_000).await.unwrap());
        assert!(store.may_revive(no, 5_000, 1_000).await.unwrap(), "the clock was set back");
    }
}
