//! A sidecar without a gateway, for the commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::args::Common;
use crate::accounts::StateDir;
use crate::contract::{CHANNEL_ID, Config, ContractError, Locale};
use crate::events::Events;
use crate::plain::lines;
use crate::process::Gateway;
use crate::service::{Open, Sidecar, TransferWatch};

/// Opens the state directory with the settings of `openclaw.json`.
pub async fn open(common: &Common, events: Events) -> Result<Arc<Sidecar>, ContractError> {
    open_to_send(common, events, None, None).await
}

/// The same; files may be sent from `media_root`, and `transfers` is told how they move.
pub async fn open_to_send(
    common: &Common,
    events: Events,
    media_root: Option<PathBuf>,
    transfers: Option<TransferWatch>,
) -> Result<Arc<Sidecar>, ContractError> {
    let config = StateDir::resolve(common.state_dir.as_deref()).map(|state| config(state.root())).unwrap_or_default();
    let sidecar = Sidecar::open(Open {
        state_dir: common.state_dir.clone(),
        config,
        locale: locale(),
        media_roots: media_root.map(|root| vec![root]),
        gateway: Gateway::NONE,
        host: None,
        defer_media: false,
        status_interval: None,
        events,
        transfers,
        end: Arc::new(|| {}),
    })
    .await?;
    for warning in sidecar.warnings() {
        eprintln!("warning: {}", lines(warning));
    }
    Ok(sidecar)
}

/// The language of the environment.
pub fn locale() -> Locale {
    let set =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    if set.is_some_and(|lang| lang.starts_with("zh")) { Locale::ZhCn } else { Locale::En }
}

/// The channel's settings in OpenClaw's configuration, as far as they can be read: OpenClaw allows more than JSON there.
fn config(root: &Path) -> Config {
    let path = root.join("openclaw.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Config::default() };
    let section = match serde_json::from_str::<Value>(&text) {
        Ok(mut all) => all["channels"][CHANNEL_ID].take(),
        Err(_) => {
            eprintln!("note: {} is not plain JSON; going on with the default settings", path.display());
            return Config::default();
        }
    };
    if section.is_null() {
        return Config::default();
    }
    serde_json::from_value(section).unwrap_or_else(|error| {
        eprintln!("note: channels.{CHANNEL_ID} in {} is ignored: {error}", path.display());
        Config::default()
    })
}
