//! What the official plugin left of an account: its cursor and its context tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::files::{AccountFiles, read_json};
use crate::contract::AccountId;

/// What was found.
#[derive(Debug, Default)]
pub struct Legacy {
    /// Where the official plugin stopped reading.
    pub cursor: Option<String>,
    /// Context tokens by peer. Secret.
    pub tokens: Vec<(String, String)>,
    /// Files that were there and could not be read; for the log.
    pub problems: Vec<String>,
}

#[derive(Deserialize)]
struct SyncFile {
    #[serde(default)]
    get_updates_buf: Option<String>,
}

/// Reads the files of `id`, in the places of all versions. Blocks. A damaged file is reported, not an error: the
/// account then starts as a new one would.
pub fn read_legacy(files: &AccountFiles, id: &AccountId) -> Legacy {
    let mut legacy = Legacy::default();
    let mut cursors: Vec<PathBuf> = files.spellings(id, "sync.json");
    if id.as_str() == "default" {
        let sessions = files.state().root().join("agents").join("default").join("sessions");
        cursors.push(sessions.join(".openclaw-weixin-sync").join("default.json"));
    }
    for path in cursors {
        match read_json::<SyncFile>(&path) {
            Ok(Some(file)) if legacy.cursor.is_none() => legacy.cursor = file.get_updates_buf.filter(|c| !c.is_empty()),
            Ok(_) => {}
            Err(error) => legacy.problems.push(error.to_string()),
        }
    }
    for path in files.spellings(id, "context-tokens.json") {
        match read_json::<BTreeMap<String, String>>(&path) {
            Ok(Some(tokens)) if legacy.tokens.is_empty() => {
                legacy.tokens =
                    tokens.into_iter().filter(|(peer, token)| !peer.is_empty() && !token.is_empty()).collect();
            }
            Ok(_) => {}
            Err(error) => legacy.problems.push(error.to_string()),
        }
    }
    legacy
}
