//! What is known of each person an account has heard of.

use rusqlite::{OptionalExtension, params};

use super::hub::json_list;
use super::{Store, StoreError};
use crate::account_id::AccountId;

/// A person, as one account knows them.
#[derive(Clone)]
pub struct PeerRow {
    /// The newest context token. Secret: it is handed to the wire client and to nobody else.
    pub context_token: String,
    /// When it came, in milliseconds since 1970.
    pub token_at: i64,
}

impl Store {
    /// What `account` knows of `peer`.
    pub async fn peer(&self, account: &AccountId, peer: &str) -> Result<Option<PeerRow>, StoreError> {
        let (account, peer) = (account.clone(), peer.to_owned());
        self.read(move |db| {
            db.prepare_cached(
                "SELECT context_token, token_at FROM peer
                 WHERE account = (SELECT no FROM account WHERE account_id = ?1) AND peer = ?2",
            )?
            .query_row(params![account.as_str(), peer], |row| {
                Ok(PeerRow { context_token: row.get(0)?, token_at: row.get(1)? })
            })
            .optional()
        })
        .await
    }

    /// Account id, person, and when they last wrote, in milliseconds since 1970: of `accounts`, or of all; those whose id contains
    /// `query`, and whose messages the backend `served` was given; whoever wrote last first, `limit` at most.
    pub async fn peers(
        &self,
        accounts: Option<Vec<String>>,
        query: Option<String>,
        served: Option<String>,
        limit: u32,
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        let accounts = json_list(&accounts);
        self.read(move |db| {
            db.prepare_cached(
                "SELECT account_id, peer, token_at FROM peer JOIN account ON account.no = peer.account
                 WHERE (?1 IS NULL OR account_id IN (SELECT value FROM json_each(?1)))
                     AND (?2 IS NULL OR instr(lower(peer), lower(?2)) > 0)
                     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM hub_served WHERE hub_served.account = peer.account
                         AND hub_served.peer = peer.peer AND backend = ?4))
                 ORDER BY token_at DESC, peer LIMIT ?3",
            )?
            .query_map(params![accounts, query, limit, served], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
        })
        .await
    }

    /// The accounts that know `peer`, by account id.
    pub async fn accounts_knowing(&self, peer: &str) -> Result<Vec<AccountId>, StoreError> {
        let peer = peer.to_owned();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT account_id FROM account JOIN peer ON peer.account = account.no WHERE peer.peer = ?1 ORDER BY no",
            )?
            .query_map([peer], |row| row.get::<_, String>(0).map(|id| AccountId::normalize(&id)))?
            .collect()
        })
        .await
    }
}
