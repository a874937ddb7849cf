//! Rows of accounts: their number, cursor and label.

use rusqlite::{Connection, OptionalExtension, params};

use super::{AccountNo, Durability, Store, StoreError};
use crate::account_id::AccountId;

/// What the database knows of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its number in the other tables.
    pub no: AccountNo,
    /// The cursor of the last poll; empty before the first.
    pub cursor: String,
    /// Whether the official plugin's files were read.
    pub imported: bool,
}

impl Store {
    /// The account's row, made where there is none.
    pub async fn get_or_create_account(&self, id: &AccountId) -> Result<AccountRow, StoreError> {
        let id = id.clone();
        self.write(Durability::Process, move |db| {
            db.prepare_cached("INSERT OR IGNORE INTO account (account_id) VALUES (?1)")?.execute([id.as_str()])?;
            row(db, &id)
        })
        .await
    }

    /// The account's number, where it has a row.
    pub async fn account_no(&self, id: &AccountId) -> Result<Option<AccountNo>, StoreError> {
        let id = id.clone();
        self.read(move |db| no(db, &id)).await
    }

    /// Takes over what the official plugin had: its cursor, unless there is one already, and its context tokens,
    /// where there is no newer one. Does nothing the second time.
    pub async fn import(
        &self,
        account: AccountNo,
        cursor: Option<String>,
        tokens: Vec<(String, String)>,
        at: i64,
    ) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            let first = db.execute("UPDATE account SET imported = 1 WHERE no = ?1 AND imported = 0", [account.0])?;
            if first == 0 {
                return Ok(());
            }
            if let Some(cursor) = cursor {
                db.execute("UPDATE account SET cursor = ?2 WHERE no = ?1 AND cursor = ''", params![account.0, cursor])?;
            }
            let mut insert = db.prepare_cached(
                "INSERT OR IGNORE INTO peer (account, peer, context_token, token_at) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for (peer, token) in &tokens {
                insert.execute(params![account.0, peer, token, at])?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps the label that was given at login.
    pub async fn set_label(&self, account: AccountNo, label: String) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.execute("UPDATE account SET label = ?2 WHERE no = ?1", params![account.0, label]).map(|_| ())
        })
        .await
    }

    /// All labels, by account id.
    pub async fn labels(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|db| {
            let mut rows = db.prepare_cached("SELECT account_id, label FROM account WHERE label IS NOT NULL")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .await
    }

    /// Deletes every row of an account. Returns whether there was one.
    pub async fn forget_account(&self, id: &AccountId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(Durability::Process, move |db| {
            let Some(no) = no(db, &id)? else { return Ok(false) };
            for table in ["inbox", "seen", "peer", "outbound", "hub_choice", "hub_served", "hub_access"] {
                db.execute(&format!("DELETE FROM {table} WHERE account = ?1"), [no.0])?;
            }
            db.execute("DELETE FROM lease WHERE account_id = ?1", [id.as_str()])?;
            db.execute("DELETE FROM account WHERE no = ?1", [no.0]).map(|n| n > 0)
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
}

fn no(db: &Connection, id: &AccountId) -> rusqlite::Result<Option<AccountNo>> {
    db.prepare_cached("SELECT no FROM account WHERE account_id = ?1")?
        .query_row([id.as_str()], |row| row.get(0).map(AccountNo))
        .optional()
}

fn row(db: &Connection, id: &AccountId) -> rusqlite::Result<AccountRow> {
    db.prepare_cached("SELECT no, cursor, imported FROM account WHERE account_id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok(AccountRow { no: AccountNo(row.get(0)?), cursor: row.get(1)?, imported: row.get(2)? })
        })
}
