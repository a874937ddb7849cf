//! What a gateway does with a delivery: take it over, give it back, ask for its files.

use std::sync::Arc;
use std::time::Duration;

use crate::contract::{ContractError, ErrorKind, FetchMediaResult};
use crate::inbound::{DeliveryId, Dispatcher, Preparer, normalize};
use crate::store::Store;

/// Deliveries that a gateway has.
pub struct Deliveries {
    /// Whose they are.
    pub dispatcher: Dispatcher,
    /// Fetches their files.
    pub preparer: Preparer,
    /// What they were made of.
    pub store: Store,
    /// Only those that were routed to this backend of the hub, where there is one.
    pub backend: Option<Arc<str>>,
}

impl Deliveries {
    /// Removes deliveries for good; returns how many were still there.
    pub async fn ack(&self, deliveries: &[DeliveryId]) -> Result<u64, ContractError> {
        Ok(self.dispatcher.ack(deliveries).await?)
    }

    /// Takes a delivery back; it comes again after `after`.
    pub async fn nack(&self, delivery: &DeliveryId, after: Duration) -> Result<(), ContractError> {
        Ok(self.dispatcher.nack(delivery, after).await?)
    }

    /// Lets the next delivery of a conversation come before this one is acked.
    pub async fn release(&self, delivery: &DeliveryId) -> Result<(), ContractError> {
        Ok(self.dispatcher.release(delivery).await?)
    }

    /// Fetches the files of a delivery that is not acked yet. What is here already is not fetched again.
    pub async fn fetch_media(&self, delivery: &DeliveryId) -> Result<FetchMediaResult, ContractError> {
        let gone = || {
            let message = format!("no delivery {delivery} waits: it was acked, or its account was removed");
            ContractError::new(ErrorKind::InvalidParams, message).account(&delivery.account)
        };
        let number = self.store.account_no(&delivery.account).await?.ok_or_else(gone)?;
        let (peer, pending) = self.store.pending(number, delivery.key, self.backend.clone()).await?.ok_or_else(gone)?;
        let draft = normalize(delivery, &peer, pending.attempt, &pending.wire);
        let message = self.preparer.prepare(number, delivery.key, draft).await;
        Ok(FetchMediaResult { text: message.text, parts: message.parts, quote: message.quote })
    }
}
