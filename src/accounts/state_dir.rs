//! Where the files are.

use std::path::{Path, PathBuf};

/// OpenClaw's state directory and what the channel keeps in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The directory that is given, else that of the environment (`OPENCLAW_STATE_DIR`, `CLAWDBOT_STATE_DIR`), else
    /// `.openclaw` in the home directory. `None` where there is no home directory either.
    pub fn resolve(given: Option<&Path>) -> Option<StateDir> {
        let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = given
            .map(Path::to_owned)
            .or_else(|| from_env("OPENCLAW_STATE_DIR"))
            .or_else(|| from_env("CLAWDBOT_STATE_DIR"))
            .or_else(|| directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".openclaw")))?;
        Some(StateDir { root: expand_home(root) })
    }

    /// The state directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The channel's own directory.
    pub fn channel(&self) -> PathBuf {
        self.root.join("openclaw-weixin")
    }

    pub fn database(&self) -> PathBuf {
        self.channel().join("sidecar.sqlite")
    }
}

/// `~/x` as people write it in a configuration.
fn expand_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), directories::BaseDirs::new()) {
        (Ok(rest), Some(dirs)) => dirs.home_dir().join(rest),
        _ => path,
    }
}
