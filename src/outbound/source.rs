//! Files that the gateway asks to be sent: which may be read, and a copy of our own.
//!
//! A path counts when it lies inside one of the roots after every link was followed. The file is copied, or linked where
//! that is the same, so that it can wait in the outbox whatever becomes of the original.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

use crate::cdn::hex;
use crate::private;

const PIECE: usize = 256 * 1024;
const HEAD: usize = 8 * 1024;

/// Why a file is not sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// It is outside the roots, or no file at all.
    #[error("{0}")]
    Denied(String),
    /// It is larger than allowed.
    #[error("the file has {size} bytes, the limit is {limit} (mediaMaxMb)")]
    TooLarge {
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// It cannot be read, or the spool not be written.
    #[error("{path} cannot be read ({cause}); see that it is there, and that this user may read it")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}

/// A file in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Where it is.
    pub file: PathBuf,
    /// In bytes.
    pub size: u64,
    /// In hex.
    pub md5: String,
    /// Its first bytes, 8 KiB at most.
    pub head: Vec<u8>,
}

/// Copies `path` to `spool` and reads it once. Blocks.
pub fn spool(path: &str, roots: &[PathBuf], limit: u64, spool: &Path) -> Result<Spooled, SourceError> {
    let unreadable = |cause: &dyn ToString| SourceError::Unreadable { path: path.into(), cause: cause.to_string() };
    let real = fs::canonicalize(path).map_err(|error| unreadable(&error))?;
    if !roots.iter().any(|root| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root))) {
        let roots = roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(SourceError::Denied(format!(
            "{path} is not inside the folders that may be sent from ({roots}); copy it there, or name its folder in mediaRoots"
        )));
    }
    let original = File::open(&real).map_err(|error| unreadable(&error))?;
    let before = original.metadata().map_err(|error| unreadable(&error))?;
    if !before.is_file() {
        return Err(SourceError::Denied(format!("{path} is not a regular file")));
    }
    if before.len() > limit {
        return Err(SourceError::TooLarge { size: before.len(), limit });
    }
    // A link keeps the content where it is; other file systems, and files of other users, need a copy.
    let linked = fs::hard_link(&real, spool).is_ok() && is_same(spool, &before);
    let done = match linked {
        true => read(original, None, limit),
        false => {
            let _ = fs::remove_file(spool);
            private::new_file(spool).and_then(|copy| read(original, Some(copy), limit))
        }
    };
    let read = done.map_err(|error| unreadable(&error));
    let unchanged = fs::metadata(&real).is_ok_and(|after| same_content(&before, &after));
    match read {
        Ok((size, md5, head)) if size == before.len() && unchanged => {
            Ok(Spooled { file: spool.to_owned(), size, md5, head })
        }
        Ok(_) => {
            let _ = fs::remove_file(spool);
            Err(unreadable(&"it was changed while it was read"))
        }
        Err(error) => {
            let _ = fs::remove_file(spool);
            Err(error)
        }
    }
}

/// Reads a file that is in the spool already.
pub fn measure(file: &Path) -> Result<Spooled, SourceError> {
    let read = File::open(file).and_then(|open| read(open, None, u64::MAX));
    let unreadable = |cause: io::Error| SourceError::Unreadable { path: file.to_owned(), cause: cause.to_string() };
    let (size, md5, head) = read.map_err(unreadable)?;
    Ok(Spooled { file: file.to_owned(), size, md5, head })
}

fn read(mut from: File, mut to: Option<File>, limit: u64) -> io::Result<(u64, String, Vec<u8>)> {
    let (mut digest, mut head, mut size) = (Md5::new(), Vec::new(), 0u64);
    let mut buffer = vec![0; PIECE];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok((size, hex(&digest.finalize()), head));
        }
        size += n as u64;
        if size > limit {
            return Err(io::Error::other("it grows while it is read"));
        }
        digest.update(&buffer[..n]);
        let room = HEAD - head.len();
        head.extend_from_slice(&buffer[..n.min(room)]);
        if let Some(to) = &mut to {
            to.write_all(&buffer[..n])?;
        }
    }
}

/// Whether the link leads to the file that was opened, and not to one that took its place.
#[cfg(unix)]
fn is_same(link: &Path, opened: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(link).is_ok_and(|linked| (linked.dev(), linked.ino()) == (opened.dev(), opened.ino()))
}

/// Elsewhere a copy is made.
#[cfg(not(unix))]
fn is_same(_link: &Path, _opened: &Metadata) -> bool {
    false
}

fn same_content(before: &Metadata, after: &Metadata) -> bool {
    before.len() == after.len() && before.modified().ok() == after.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(result: Result<Spooled, SourceError>) -> String {
        match result {
            Err(SourceError::Denied(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_inside_the_roots_is_kept_although_the_original_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("a.txt"), dir.path().join("spooled"));
        fs::write(&path, "hello").unwrap();
        let spooled = spool(path.to_str().unwrap(), &[dir.path().to_owned()], 5, &copy).unwrap();
        assert_eq!((spooled.size, spooled.md5.as_str()), (5, "5d41402abc4b2a76b9719d911017c592"));
        fs::remove_file(&path).unwrap();
        assert_eq!(measure(&copy).unwrap(), spooled);
    }

    #[test]
    fn outside_too_large_and_what_is_no_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (root, copy) = (dir.path().join("root"), dir.path().join("spooled"));
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::write(root.join("large"), "123456").unwrap();
        let roots = [root.clone()];
        let try_it = |path: PathBuf, limit| spool(path.to_str().unwrap(), &roots, limit, &copy);
        assert!(denied(try_it(dir.path().join("secret"), 100)).contains("mediaRoots"));
        assert!(denied(try_it(root.join("../secret"), 100)).contains("mediaRoots"));
        assert!(denied(try_it(root.join("folder"), 100)).contains("regular"));
        assert!(matches!(try_it(root.join("large"), 5), Err(SourceError::TooLarge { size: 6, limit: 5 })));
        assert!(matches!(try_it(root.join("gone"), 5), Err(SourceError::Unreadable { .. })));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("secret"), root.join("link")).unwrap();
            assert!(denied(try_it(root.join("link"), 100)).contains("mediaRoots"));
            std::os::unix::fs::symlink(root.join("large"), root.join("good")).unwrap();
            fs::remove_file(&copy).ok();
            assert_eq!(try_it(root.join("good"), 6).unwrap().size, 6);
        }
    }
}
