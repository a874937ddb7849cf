//! Where messages go that were taken in: to the dispatcher of one gateway, or to whoever decides whose they are.

use futures_util::future::BoxFuture;

use crate::contract::AccountId;
use crate::store::{AccountNo, Ingested, StoreError};

/// Announces what a poll brought, in the order of commits.
pub type Announce = Box<dyn FnOnce(Ingested) + Send>;

/// Is told what came in. Everything it is told of is on disk already.
pub trait Inlet: Send + Sync {
    /// An account begins to be polled; what it has in the inbox comes first.
    fn start_account<'a>(&'a self, id: &'a AccountId, account: AccountNo) -> BoxFuture<'a, Result<(), StoreError>>;
    /// It is polled no longer.
    fn stop_account(&self, account: AccountNo);
    /// What announces the messages of one poll.
    fn announcer(&self, account: AccountNo) -> Announce;
}
