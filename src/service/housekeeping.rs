//! What is done now and then: media files and quoted texts are kept for a time, not for ever.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use crate::media::{Library, Space};
use crate::outbound::files_of;
use crate::store::Store;

/// The first round comes soon, but not while accounts start.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(3600);

/// What is cleaned up, and by which limits.
#[derive(Clone)]
pub struct Housekeeping {
    pub clients: Clients,
    /// Where quoted texts are, and what names the files that are still needed.
    pub store: Store,
    /// Where files are.
    pub library: Library,
    /// How much room they take.
    pub space: Space,
}

impl Housekeeping {
    /// Cleans up until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            self.clean_up().await;
            wait = EVERY;
        }
    }

    /// Forgets quoted texts and removes media files that are beyond their limits.
    async fn clean_up(&self) {
        let settings = self.clients.settings();
        let (age_ms, at_most) = settings.quotes();
        if let Err(error) = self.store.prune_quotes(age_ms, at_most).await {
            tracing::warn!(%error, "old texts were not forgotten");
        }
        let waiting = match self.store.waiting_media().await {
            Ok(waiting) => files_of(waiting.iter().map(String::as_str)),
            Err(error) => return tracing::warn!(%error, "old media files were not removed"),
        };
        let (library, keep) = (self.library.clone(), settings.media());
        let removed = tokio::task::spawn_blocking(move || {
            library.clean(keep, &|file| waiting.iter().any(|waiting| waiting == file))
        });
        let removed = removed.await;
        self.space.look_again();
        match removed {
            Ok(Ok(removed)) if removed > 0 => tracing::info!(removed, "old media files were removed"),
            Ok(Err(error)) => tracing::warn!(%error, "old media files were not removed"),
            _ => {}
        }
    }
}
