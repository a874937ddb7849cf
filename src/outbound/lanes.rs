//! One send at a time in a conversation; conversations do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::store::AccountNo;

type Lane = Arc<tokio::sync::Mutex<()>>;

/// The lanes that are in use. Clones share them.
#[derive(Clone, Default)]
pub struct Lanes {
    in_use: Arc<Mutex<HashMap<(AccountNo, String), Lane>>>,
}

impl Lanes {
    /// Waits for the turn in a conversation, in the order of the calls. It lasts until the guard is dropped.
    pub async fn enter(&self, account: AccountNo, peer: &str) -> OwnedMutexGuard<()> {
        let lane = {
            let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
            // A lane that only this map holds is nobody's: the map stays as small as what is being sent.
            in_use.retain(|_, lane| Arc::strong_count(lane) > 1);
            in_use.entry((account, peer.to_owned())).or_default().clone()
        };
        lane.lock_owned().await
    }
}
