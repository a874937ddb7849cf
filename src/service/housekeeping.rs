//! What is done now and then: media files and quoted texts are kept for a time, not for ever.

use std::sync::Weak;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sidecar::Sidecar;
use crate::outbound::files_of;

/// The first round comes soon, but not while accounts start.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(3600);

/// Cleans up until `stop`.
pub(super) async fn run(sidecar: Weak<Sidecar>, stop: CancellationToken) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let Some(sidecar) = sidecar.upgrade() else { return };
        sidecar.clean_up().await;
        wait = EVERY;
    }
}

impl Sidecar {
    /// Forgets quoted texts and removes media files that are beyond their limits.
    pub async fn clean_up(&self) {
        let settings = self.settings();
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
        self.room.look_again();
        match removed {
            Ok(Ok(removed)) if removed > 0 => tracing::info!(removed, "old media files were removed"),
            Ok(Err(error)) => tracing::warn!(%error, "old media files were not removed"),
            _ => {}
        }
    }
}
