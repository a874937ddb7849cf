//! The conversations that run: one task for each with something to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::callers::Command;
use super::conversation::{self, Mailbox};
use super::core::{ConversationKey, Core, queue_id, update_of};
use super::outcome::SendError;
use crate::contract::AccountId;
use crate::store::{OutboundRow, SendState, StoreError};
use crate::supervise::lock;

/// The conversations. Clones share them.
#[derive(Clone)]
pub(super) struct Conversations {
    /// What they share.
    pub core: Arc<Core>,
    running: Arc<Mutex<HashMap<ConversationKey, mpsc::UnboundedSender<Command>>>>,
}

impl Conversations {
    /// None runs.
    pub fn new(core: Core) -> Conversations {
        Conversations { core: Arc::new(core), running: Arc::default() }
    }

    /// Tells a conversation something; one that does not run begins.
    pub fn tell(&self, key: ConversationKey, command: Command) {
        let mut running = lock(&self.running);
        let command = match running.get(&key) {
            None => command,
            Some(conversation) => match conversation.send(command) {
                Ok(()) => return,
                Err(mpsc::error::SendError(command)) => command,
            },
        };
        let (sender, mailbox) = Mailbox::new();
        let _ = sender.send(command);
        running.insert(key.clone(), sender);
        drop(running);
        let (running, of_leave) = (self.running.clone(), key.clone());
        // What it is told after it was asked begins it anew.
        let leave = move |may: &mut (dyn FnMut() -> bool + Send)| {
            let mut running = lock(&running);
            let leaves = may();
            if leaves {
                running.remove(&of_leave);
            }
            leaves
        };
        tokio::spawn(conversation::run(self.core.clone(), key, mailbox, leave));
    }

    /// Gives up a waiting send. Returns whether it was waiting.
    pub async fn cancel(&self, id: i64) -> Result<bool, StoreError> {
        let Some(row) = self.core.store.end_send(id, SendState::Cancelled, None).await? else { return Ok(false) };
        self.ended(row, SendError::Ended("it was cancelled".to_owned()));
        Ok(true)
    }

    /// Gives up what waited too long, and the oldest where too many wait.
    pub async fn expire(&self) {
        let settings = self.core.context.settings();
        let ended = match self.core.store.expire_sends(settings.hold_ttl_ms, settings.max_held).await {
            Ok(ended) => ended,
            Err(error) => return tracing::warn!(%error, "old sends could not be given up"),
        };
        for row in ended {
            tracing::warn!(queue_id = queue_id(row.id), to = row.peer, "a held message was given up");
            let why = SendError::Ended(row.error.clone().unwrap_or_default());
            self.ended(row, why);
        }
    }

    /// A send was ended from outside its conversation, which tells whom that concerns, if it runs.
    fn ended(&self, row: OutboundRow, why: SendError) {
        self.core.drop_files(&row);
        let key = (AccountId::normalize(&row.account_id), row.peer.clone());
        let command = Command::Ended { row: row.clone(), why };
        let running = lock(&self.running);
        if running.get(&key).is_some_and(|conversation| conversation.send(command).is_ok()) {
            return;
        }
        drop(running);
        update_of(&row).into_iter().for_each(|update| self.core.context.ended(update));
    }
}
