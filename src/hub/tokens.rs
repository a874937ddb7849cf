//! Tokens: made, recognised, revoked. Only their hashes are kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Role};
use crate::contract::{AccountId, ContractError};
use crate::store::{Store, TokenRow, now_ms};
use crate::supervise::lock;

/// So many wrong tokens may come from an address within [`GUESSES_WITHIN`].
const GUESSES: u32 = 20;
const GUESSES_WITHIN: Duration = Duration::from_secs(60);
/// Addresses whose wrong tokens are counted at most; beyond it all share a count.
const GUESSERS: usize = 10_000;
/// What a hub token begins with, so that people and scanners for leaked secrets know one.
const PREFIX: &str = "wxhub_";

/// A token that was made, for the only time it is shown.
pub struct Created {
    pub id: String,
    pub token: String,
}

/// Why nobody is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such token.
    Unknown,
    /// Too many wrong ones came from there.
    TooMany,
}

struct Known {
    caller: Arc<Caller>,
    /// Cancelled when it is revoked.
    revoked: CancellationToken,
}

/// The tokens of one state directory. What another process makes or revokes is taken over by [`Tokens::refresh`].
pub struct Tokens {
    store: Store,
    /// By hash.
    known: RwLock<HashMap<String, Known>>,
    guesses: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    used: Mutex<HashMap<String, i64>>,
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// A token's row and the token itself.
pub fn make(backend: &str, role: Role, accounts: Option<Vec<String>>) -> (TokenRow, Created) {
    let secret: [u8; 32] = rand::random();
    let token = format!("{PREFIX}{}", hex::encode(secret));
    let id = format!("t{:08x}", rand::random::<u32>());
    let normal = |ids: Vec<String>| ids.iter().map(|id| AccountId::normalize(id).as_str().to_owned()).collect();
    let row = TokenRow {
        id: id.clone(),
        hash: hash(&token),
        backend: backend.to_owned(),
        role: role.name().to_owned(),
        accounts: accounts.map(normal),
        created_at: now_ms(),
        used_at: None,
    };
    (row, Created { id, token })
}

impl Tokens {
    /// The tokens in `store`; none is known before the first refresh.
    pub fn new(store: Store) -> Tokens {
        Tokens { store, known: RwLock::default(), guesses: Mutex::default(), used: Mutex::default() }
    }

    /// Whoever has this token, and what says that it was revoked. `from`: where it came from.
    pub fn recognise(&self, token: &str, from: IpAddr) -> Result<(Arc<Caller>, CancellationToken), Refused> {
        let found = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.get(&hash(token)).map(|known| (known.caller.clone(), known.revoked.clone()))
        };
        match found {
            Some(found) => {
                lock(&self.used).insert(found.0.id.clone(), now_ms());
                Ok(found)
            }
            // A right token passes whatever came before it: nobody keeps others out by guessing.
            None if self.guessed(from) > GUESSES => Err(Refused::TooMany),
            None => Err(Refused::Unknown),
        }
    }

    /// Counts a wrong token.
    pub fn guessed(&self, from: IpAddr) -> u32 {
        let mut guesses = lock(&self.guesses);
        if guesses.len() >= GUESSERS {
            guesses.retain(|_, (since, _)| since.elapsed() < GUESSES_WITHIN);
        }
        let from = if guesses.len() >= GUESSERS { IpAddr::from([0, 0, 0, 0]) } else { from };
        let (since, count) = guesses.entry(from).or_insert((Instant::now(), 0));
        if since.elapsed() >= GUESSES_WITHIN {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count
    }

    /// Reads them anew. Returns whether something changed.
    pub async fn refresh(&self) -> Result<bool, ContractError> {
        let used: Vec<_> = std::mem::take(&mut *lock(&self.used)).into_iter().collect();
        if !used.is_empty() {
            self.store.tokens_used(used).await?;
        }
        let rows = self.store.tokens().await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = false;
        known.retain(|hash, known| {
            let stays = rows.iter().any(|row| row.hash == *hash);
            if !stays {
                known.revoked.cancel();
                changed = true;
            }
            stays
        });
        for row in &rows {
            let Some(caller) = Caller::of(row) else { continue };
            known.entry(row.hash.clone()).or_insert_with(|| {
                changed = true;
                Known { caller: Arc::new(caller), revoked: CancellationToken::new() }
            });
        }
        Ok(changed)
    }

    /// Makes one.
    pub async fn create(
        &self,
        backend: &str,
        role: Role,
        accounts: Option<Vec<String>>,
    ) -> Result<Created, ContractError> {
        let (row, created) = make(backend, role, accounts);
        self.store.add_token(row).await?;
        self.refresh().await?;
        Ok(created)
    }

    /// Revokes one: its connections end. Returns whether there was one.
    pub async fn revoke(&self, id: &str) -> Result<bool, ContractError> {
        let removed = self.store.remove_token(id).await?;
        self.refresh().await?;
        Ok(removed)
    }

    /// All of them.
    pub async fn rows(&self) -> Result<Vec<TokenRow>, ContractError> {
        Ok(self.store.tokens().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_token_is_recognised_until_it_is_revoked_and_is_nowhere_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.sqlite");
        let (store, _) = Store::open(&path).unwrap();
        let tokens = Tokens::new(store.clone());
        let created = tokens.create("a", Role::Backend, Some(vec!["B1@im.bot".into()])).await.unwrap();
        let (caller, revoked) = tokens.recognise(&created.token, HERE).unwrap();
        assert_eq!((&*caller.backend, caller.role), ("a", Role::Backend));
        assert!(caller.accounts.has("b1-im-bot") && !caller.accounts.has("b2-im-bot"));
        assert_eq!(tokens.recognise("wxhub_00", HERE).unwrap_err(), Refused::Unknown);
        assert!(tokens.revoke(&created.id).await.unwrap());
        assert!(revoked.is_cancelled());
        assert_eq!(tokens.recognise(&created.token, HERE).unwrap_err(), Refused::Unknown);
        store.close().await;
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let secret = &created.token.as_bytes()[PREFIX.len()..];
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }

    #[tokio::test]
    async fn guessing_ends_soon_and_keeps_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let tokens = Tokens::new(store);
        let created = tokens.create("a", Role::Backend, None).await.unwrap();
        let tries: Vec<Refused> = (0..30).map(|n| tokens.recognise(&n.to_string(), HERE).unwrap_err()).collect();
        assert_eq!(tries.iter().filter(|refused| **refused == Refused::Unknown).count(), GUESSES as usize);
        assert!(tokens.recognise(&created.token, HERE).is_ok());
        assert_eq!(tokens.recognise("x", IpAddr::from([10, 0, 0, 1])).unwrap_err(), Refused::Unknown);
    }
}
