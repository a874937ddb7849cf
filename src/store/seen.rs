//! What was seen already: the ids of messages, so that none is taken in twice, and what they said, for quotes.

use rusqlite::{OptionalExtension as _, params};

use super::{AccountNo, Durability, Store, StoreError, now_ms};

/// How long the id of a message is remembered.
const SEEN_FOR_MS: i64 = 30 * 24 * 3600 * 1000;
/// How many ids of an account are remembered; those of the last day always are.
const SEEN_AT_MOST: i64 = 20_000;
/// Ids younger than this are remembered whatever their number, so that a burst cannot push out its own ids.
const SEEN_SURELY_MS: i64 = 24 * 3600 * 1000;

/// What a message said that somebody quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Its text; empty where it had none.
    pub text: String,
    /// Whether the bot wrote it.
    pub from_bot: bool,
}

impl Store {
    /// What a message said that a person quotes in the same conversation, if it is no older than `age_ms`.
    pub async fn quoted(
        &self,
        account: AccountNo,
        peer: &str,
        key: u64,
        age_ms: i64,
    ) -> Result<Option<Quoted>, StoreError> {
        let peer = peer.to_owned();
        self.read(move |db| {
            db.prepare_cached(
                "SELECT text, from_bot FROM seen
                 WHERE account = ?1 AND key = ?2 AND peer = ?3 AND text IS NOT NULL AND at >= ?4",
            )?
            .query_row(params![account.0, key as i64, peer, now_ms() - age_ms], |row| {
                Ok(Quoted { text: row.get(0)?, from_bot: row.get(1)? })
            })
            .optional()
        })
        .await
    }

    /// Whose conversation a message of this key is of.
    pub async fn peer_of(&self, account: AccountNo, key: u64) -> Result<Option<String>, StoreError> {
        self.read(move |db| {
            let found = db
                .prepare_cached("SELECT peer FROM seen WHERE account = ?1 AND key = ?2")?
                .query_row(params![account.0, key as i64], |row| row.get(0));
            found.optional().map(Option::flatten)
        })
        .await
    }

    /// Whether a message of this key is of the conversation with somebody: theirs, or the bot's to them.
    pub async fn is_of(&self, account: AccountNo, peer: &str, key: u64) -> Result<bool, StoreError> {
        let peer = peer.to_owned();
        self.read(move |db| {
            db.prepare_cached("SELECT 1 FROM seen WHERE account = ?1 AND key = ?2 AND peer = ?3")?
                .exists(params![account.0, key as i64, peer])
        })
        .await
    }

    /// Forgets what quoted messages said, beyond an age and a number for each account.
    pub async fn prune_quotes(&self, age_ms: i64, at_most: u64) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            db.prepare_cached("UPDATE seen SET text = NULL WHERE text IS NOT NULL AND at < ?1")?
                .execute([now_ms() - age_ms])?;
            db.prepare_cached(
                "UPDATE seen SET text = NULL WHERE (account, key) IN (
                     SELECT account, key FROM (
                         SELECT account, key, ROW_NUMBER() OVER (PARTITION BY account ORDER BY at DESC) AS nth
                         FROM seen WHERE text IS NOT NULL)
                     WHERE nth > ?1)",
            )?
            .execute([i64::try_from(at_most).unwrap_or(i64::MAX)])
            .map(|_| ())
        })
        .await
    }

    /// Forgets ids that are old, or too many, unless their text is kept for quotes.
    pub async fn prune_seen(&self, account: AccountNo) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| {
            let now = now_ms();
            db.prepare_cached("DELETE FROM seen WHERE account = ?1 AND at < ?2 AND text IS NULL")?
                .execute(params![account.0, now - SEEN_FOR_MS])?;
            // The age of the oldest id that is kept for its number; NULL where there are fewer.
            db.prepare_cached(
                "DELETE FROM seen WHERE account = ?1 AND text IS NULL AND at < MIN(?3, (
                     SELECT at FROM seen WHERE account = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2))",
            )?
            .execute(params![account.0, SEEN_AT_MOST - 1, now - SEEN_SURELY_MS])
            .map(|_| ())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_id::AccountId;
    use crate::store::NewMessage;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    /// A store in which Ann wrote messages 1 to 5, number n being n days old; the first two kept no text.
    async fn store(dir: &tempfile::TempDir) -> (Store, AccountNo) {
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let account = store.get_or_create_account(&AccountId::normalize("bot")).await.unwrap().no;
        let message = |key: u64| NewMessage {
            peer: "ann".into(),
            key,
            context_token: None,
            text: (key > 2).then(|| format!("text {key}")),
            wire: "{}".into(),
        };
        store.ingest(account, None, (1..=5).map(message).collect(), |_| ()).await.unwrap();
        let older = |db: &rusqlite::Connection| db.execute("UPDATE seen SET at = at - key * ?1", [DAY_MS]).map(|_| ());
        store.write(Durability::Process, older).await.unwrap();
        (store, account)
    }

    async fn quotable(store: &Store, account: AccountNo, age_ms: i64) -> Vec<u64> {
        let mut found = Vec::new();
        for key in 1..=5 {
            if store.quoted(account, "ann", key, age_ms).await.unwrap().is_some() {
                found.push(key);
            }
        }
        found
    }

    async fn seen(store: &Store) -> i64 {
        store.read(|db| db.query_row("SELECT COUNT(*) FROM seen", [], |row| row.get(0))).await.unwrap()
    }

    #[tokio::test]
    async fn a_text_is_quoted_until_it_is_too_old_or_one_of_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let (store, account) = store(&dir).await;
        assert_eq!(quotable(&store, account, 30 * DAY_MS).await, [3, 4, 5]);
        assert_eq!(quotable(&store, account, 4 * DAY_MS + DAY_MS / 2).await, [3, 4], "also before it is forgotten");

        store.prune_quotes(4 * DAY_MS + DAY_MS / 2, 100).await.unwrap();
        assert_eq!(quotable(&store, account, 30 * DAY_MS).await, [3, 4]);
        store.prune_quotes(30 * DAY_MS, 1).await.unwrap();
        assert_eq!(quotable(&store, account, 30 * DAY_MS).await, [3]);
        assert_eq!(seen(&store).await, 5, "the ids stay");
    }

    #[tokio::test]
    async fn an_id_is_forgotten_with_its_text_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let (store, account) = store(&dir).await;
        let older = |db: &rusqlite::Connection| db.execute("UPDATE seen SET at = at - ?1", [SEEN_FOR_MS]).map(|_| ());
        store.write(Durability::Process, older).await.unwrap();

        store.prune_seen(account).await.unwrap();
        assert_eq!(quotable(&store, account, 365 * DAY_MS).await, [3, 4, 5]);
        assert_eq!(seen(&store).await, 3);
        store.prune_quotes(SEEN_FOR_MS, 100).await.unwrap();
        store.prune_seen(account).await.unwrap();
        assert_eq!(seen(&store).await, 0);
    }
}
