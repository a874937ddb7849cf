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
    let config = channel_config(common);
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
        inlet: None,
        transfers,
        end: Arc::new(|| {}),
    })
    .await?;
    for warning in sidecar.warnings() {
        eprintln!("warning: {}", lines(warning));
    }
    Ok(sidecar)
}

/// The channel's settings in `openclaw.json`.
pub fn channel_config(common: &Common) -> Config {
    StateDir::resolve(common.state_dir.as_deref()).map(|state| config(state.root())).unwrap_or_default()
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
    known(section).unwrap_or_else(|error| {
        eprintln!("note: channels.{CHANNEL_ID} in {} is ignored: {error}", path.display());
        Config::default()
    })
}

/// A section of the gateway's configuration without the keys that only others know: OpenClaw takes any there.
fn known(mut section: Value) -> Result<Config, String> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(&section) {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let message = error.inner().to_string();
        let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
        // The path ends with the key itself. Only the channel's own level and its accounts' are anybody's.
        let is_ours = matches!(path.as_slice(), [_] | [_, _, _] if path.len() == 1 || path[0] == "accounts");
        let strange = path.last().filter(|_| is_ours && message.starts_with("unknown field "));
        let removed = strange.and_then(|key| {
            let mut above = path[..path.len() - 1].iter();
            let object = above.try_fold(&mut section, |value, part| value.get_mut(part))?;
            object.as_object_mut()?.remove(key)
        });
        if removed.is_none() {
            return Err(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_of_others_are_passed_over_and_nothing_else_is() {
        let section = json!({
            "groupPolicy": "open", "mediaMaxMb": 7, "dms": {},
            "accounts": { "a": { "name": "work", "dmHistoryLimit": 3, "odd`key": 1 }, "b@im.bot": { "foo": [] } },
        });
        let config = known(section).unwrap();
        assert_eq!(config.media_max_mb, Some(7.0));
        assert_eq!(config.accounts.unwrap()["a"].name.as_deref(), Some("work"));
        let misspelt = known(json!({ "outbox": { "perMinuteX": 7 } })).unwrap_err();
        assert!(misspelt.contains("outbox") && misspelt.contains("perMinuteX"), "{misspelt}");
        assert!(known(json!({ "mediaMaxMb": "much" })).unwrap_err().contains("mediaMaxMb"));
        assert!(known(json!([])).is_err());
    }
}
