//! The feeds of all backends, made when they are first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::router::Command;
use crate::service::Intake;
use crate::supervise::lock;

/// Backends that were there within this time are shown as online.
const ONLINE: Duration = Duration::from_secs(90);

/// The backends, made when they are first asked for.
pub struct Feeds {
    intake: Intake,
    commands: mpsc::UnboundedSender<Command>,
    end: Arc<dyn Fn() + Send + Sync>,
    stop: CancellationToken,
    feeds: Mutex<HashMap<Arc<str>, Arc<Feed>>>,
}

impl Feeds {
    /// None was made yet.
    pub fn new(
        intake: Intake,
        commands: mpsc::UnboundedSender<Command>,
        end: Arc<dyn Fn() + Send + Sync>,
        stop: CancellationToken,
    ) -> Feeds {
        Feeds { intake, commands, end, stop, feeds: Mutex::default() }
    }

    /// The feed of a backend.
    pub fn get(&self, name: &str) -> Arc<Feed> {
        let mut feeds = lock(&self.feeds);
        if let Some(feed) = feeds.get(name) {
            return feed.clone();
        }
        let feed = Feed::new(name, &self.intake, self.commands.clone(), self.end.clone(), self.stop.clone());
        feeds.insert(feed.name.clone(), feed.clone());
        feed
    }

    /// How many connections of a backend take messages.
    pub fn connections(&self, name: &str) -> usize {
        lock(&self.feeds).get(name).map_or(0, |feed| feed.presence().0)
    }

    /// Whether somebody of a backend was there just now.
    pub fn is_online(&self, name: &str) -> bool {
        lock(&self.feeds).get(name).is_some_and(|feed| feed.presence().1.is_some_and(|ago| ago < ONLINE))
    }
}
