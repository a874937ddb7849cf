//! A C library that is loaded into the child before all others, and does some calls in another way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A built library, in a folder of its own.
pub struct Preloaded {
    dir: tempfile::TempDir,
}

impl Preloaded {
    /// Builds it; `Err` says why that is not possible here.
    pub fn build(source: &str) -> Result<Preloaded, String> {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) || !super::is_cargos_build() {
            return Err("needs a dynamically linked C library".to_owned());
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("preloaded.c");
        fs::write(&file, source).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(dir.path().join("preloaded.so")).arg(&file).arg("-ldl");
        match cc.output() {
            Ok(output) if output.status.success() => Ok(Preloaded { dir }),
            Ok(output) => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("cc: {error}")),
        }
    }

    /// The value of `LD_PRELOAD`.
    pub fn library(&self) -> PathBuf {
        self.dir.path().join("preloaded.so")
    }

    /// Its folder, for what the test tells it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}
