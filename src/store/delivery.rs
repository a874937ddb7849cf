//! Whether what a bot sends is confirmed. WeChat answers a send that it delivers with an id; a bot that it has muted gets
//! the same answers without one, for days, and nobody sees its messages.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{AccountNo, Durability, Store, StoreError};

/// So many unconfirmed sends in a row make a bot muted where they went to several people.
const OF_SEVERAL: u32 = 3;
/// So many do, whoever they went to.
const IN_ALL: u32 = 5;

/// Whether what a bot sends is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has sent nothing yet that was.
    Unknown = 0,
    /// It is.
    Confirmed = 1,
    /// It is not: the bot is muted.
    Muted = 2,
}

impl Standing {
    fn from_number(n: i64) -> Standing {
        match n {
            1 => Standing::Confirmed,
            2 => Standing::Muted,
            _ => Standing::Unknown,
        }
    }
}

/// As a number, from the columns of [`Confirmations`].
const STANDING: &str = "(CASE WHEN muted THEN 2 WHEN confirmed_at IS NOT NULL THEN 1 ELSE 0 END)";

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

impl Confirmations {
    /// Whether what it sends is confirmed.
    pub fn standing(&self) -> Standing {
        match (self.muted, self.confirmed_at) {
            (true, _) => Standing::Muted,
            (false, Some(_)) => Standing::Confirmed,
            (false, None) => Standing::Unknown,
        }
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

    /// Bots of which it was not told yet whether what they send is confirmed now: account id and number.
    pub async fn untold(&self) -> Result<Vec<(String, AccountNo)>, StoreError> {
        self.read(|db| {
            db.prepare_cached(&format!("SELECT account_id, no FROM account WHERE {STANDING} <> standing_told"))?
                .query_map([], |row| Ok((row.get(0)?, AccountNo(row.get(1)?))))?
                .collect()
        })
        .await
    }

    /// What is so of one bot, where that was not told yet, and what was told last.
    pub async fn untold_of(&self, account: AccountNo) -> Result<Option<(Standing, Confirmations)>, StoreError> {
        self.read(move |db| {
            let sql =
                format!("SELECT {COLUMNS}, standing_told FROM account WHERE no = ?1 AND {STANDING} <> standing_told");
            db.prepare_cached(&sql)?
                .query_row([account.0], |row| Ok((Standing::from_number(row.get(4)?), Confirmations::read(row)?)))
                .optional()
        })
        .await
    }

    /// Writes down that it was told.
    pub async fn told(&self, account: AccountNo, standing: Standing) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached("UPDATE account SET standing_told = ?2 WHERE no = ?1")?
                .execute(params![account.0, standing as i64])
                .map(|_| ())
        })
        .await
    }
}

/// Whether it was not told yet whether what a bot sends is confirmed now.
pub(super) fn is_untold(db: &Connection, account: AccountNo) -> rusqlite::Result<bool> {
    let sql = format!("SELECT {STANDING} <> standing_told FROM account WHERE no = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([account.0], |row| row.get(0)).optional()?.unwrap_or(false))
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
    use crate::account_id::AccountId;

    async fn bot(dir: &tempfile::TempDir) -> (Store, AccountNo) {
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let no = store.get_or_create_account(&AccountId::normalize("b")).await.unwrap().no;
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
}
