//! Recoveries: which bot's are under way. One is tried for a bot in an interval, by one of its conversations.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::contract::AccountId;
use crate::store::{AccountNo, Store, StoreError, now_ms};
use crate::supervise::lock;

/// One that takes longer is not waited for.
const AT_MOST: Duration = Duration::from_secs(60);

/// The recoveries of this process.
#[derive(Default)]
pub(super) struct Recoveries {
    last: Mutex<HashMap<AccountId, Last>>,
    /// Deciding whether to begin one, and beginning it, are one step.
    begins: tokio::sync::Mutex<()>,
}

/// How far the last recovery of a bot is.
#[derive(Clone, Copy, Debug)]
enum Last {
    UnderWay(Instant),
    Ended(Instant),
}

impl Recoveries {
    /// Whether the asking conversation is to try one now. Then it has begun, and [`end`](Recoveries::end) ends it.
    pub async fn begin(
        &self,
        store: &Store,
        account: &AccountId,
        number: AccountNo,
        every_ms: i64,
    ) -> Result<bool, StoreError> {
        let _one_by_one = self.begins.lock().await;
        let begins = store.may_recover(number, now_ms(), every_ms).await?;
        if begins {
            lock(&self.last).insert(account.clone(), Last::UnderWay(Instant::now()));
        }
        Ok(begins)
    }

    /// The one that was begun has ended.
    pub fn end(&self, account: &AccountId) {
        lock(&self.last).insert(account.clone(), Last::Ended(Instant::now()));
    }

    /// Whether one is under way for an account's bot, or ended after something was asked: then the answer is of before.
    pub fn concerns(&self, account: &AccountId, asked: Instant) -> bool {
        match lock(&self.last).get(account) {
            Some(Last::UnderWay(since)) => since.elapsed() < AT_MOST,
            Some(Last::Ended(at)) => *at > asked,
            None => false,
        }
    }
}
