//! Temporary files, in one directory that goes with the simulator.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::basics::{lock, secret};

/// The directory. It is made when the first file is, under the system's directory for temporary files.
#[derive(Debug, Default)]
pub(super) struct Spool {
    directory: Mutex<Option<PathBuf>>,
}

impl Spool {
    /// A new file, open for writing and reading.
    pub(super) fn create(&self) -> io::Result<(SpoolFile, File)> {
        let path = self.directory()?.join(secret());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok((SpoolFile { path }, file))
    }

    fn directory(&self) -> io::Result<PathBuf> {
        let mut directory = lock(&self.directory);
        if let Some(path) = &*directory {
            return Ok(path.clone());
        }
        let path = std::env::temp_dir().join(format!("openclaw-weixin-simulator-{}", secret()));
        create_private(&path)?;
        Ok(directory.insert(path).clone())
    }

    /// Removes the directory with everything in it.
    pub(super) fn remove(&self) {
        if let Some(path) = lock(&self.directory).take()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(%error, path = %path.display(), "the simulator's files cannot be removed");
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// A file of the spool; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    path: PathBuf,
}

impl SpoolFile {
    /// Opens it for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        // It may have gone with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::Spool;

    #[test]
    fn a_file_goes_when_it_is_dropped_and_the_directory_goes_with_the_spool() {
        let spool = Spool::default();
        let (one, _) = spool.create().unwrap();
        let (other, _) = spool.create().unwrap();
        let path = one.path.clone();
        let directory = path.parent().unwrap().to_owned();
        assert!(path.exists());
        drop(one);
        assert!(!path.exists() && directory.exists());
        drop(spool);
        assert!(!directory.exists() && other.open().is_err());
    }
}
