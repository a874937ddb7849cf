//! Files that the gateway asks to be sent: which may be read, and a copy of our own.
//!
//! A path counts when it lies inside one of the roots after every link was followed; the file is then opened beneath that root,
//! where no link is followed any more. It is copied, so that it can wait in the outbox whatever becomes of the original.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

use crate::private;
use crate::process::{self, open_beneath};

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

/// Copies `path`, a file inside one of `roots`, to `spool` and reads it once. Blocks, but not for a FIFO.
pub fn spool(path: &str, roots: &[PathBuf], limit: u64, spool: &Path) -> Result<Spooled, SourceError> {
    let unreadable = |cause: &dyn ToString| SourceError::Unreadable { path: path.into(), cause: cause.to_string() };
    let real = fs::canonicalize(path).map_err(|error| unreadable(&error))?;
    let inside = roots.iter().find_map(|root| {
        let root = fs::canonicalize(root).ok()?;
        let relative = real.strip_prefix(&root).ok()?.to_owned();
        Some((root, relative))
    });
    let Some((root, relative)) = inside else {
        let roots = roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(SourceError::Denied(match roots.is_empty() {
            true => {
                format!("{path} is not sent: no folder was named that may be sent from; name its folder in mediaRoots")
            }
            false => format!(
                "{path} is not inside the folders that may be sent from ({roots}); copy it there, or name its folder in mediaRoots"
            ),
        }));
    };
    // All that follows is about what this opens, whatever becomes of the name.
    let mut original = open_beneath(&root, &relative).map_err(|error| unreadable(&error))?;
    let before = original.metadata().map_err(|error| unreadable(&error))?;
    if !before.is_file() {
        return Err(SourceError::Denied(format!("{path} is not a regular file")));
    }
    if before.len() > limit {
        return Err(SourceError::TooLarge { size: before.len(), limit });
    }
    let copied = copy(&mut original, spool, limit).and_then(|spooled| Ok((spooled, original.metadata()?)));
    match copied {
        Ok((spooled, after)) if spooled.size == before.len() && same_content(&before, &after) => Ok(spooled),
        failed => {
            let _ = fs::remove_file(spool);
            Err(match failed {
                Ok(_) => unreadable(&"it was changed while it was read"),
                Err(error) => unreadable(&error),
            })
        }
    }
}

/// A copy of our own, on the same blocks where the file system can do that, read once.
fn copy(original: &mut File, to: &Path, limit: u64) -> io::Result<Spooled> {
    let mut copy = private::new_file(to)?;
    let (size, md5, head) = match process::share_content(original, &copy) {
        true => read(&mut File::open(to)?, None, limit)?,
        false => read(original, Some(&mut copy), limit)?,
    };
    Ok(Spooled { file: to.to_owned(), size, md5, head })
}

/// Reads a file that is in the spool already.
pub fn measure(file: &Path) -> Result<Spooled, SourceError> {
    let read = File::open(file).and_then(|mut open| read(&mut open, None, u64::MAX));
    let unreadable = |cause: io::Error| SourceError::Unreadable { path: file.to_owned(), cause: cause.to_string() };
    let (size, md5, head) = read.map_err(unreadable)?;
    Ok(Spooled { file: file.to_owned(), size, md5, head })
}

fn read(from: &mut File, mut to: Option<&mut File>, limit: u64) -> io::Result<(u64, String, Vec<u8>)> {
    let (mut digest, mut head, mut size) = (Md5::new(), Vec::new(), 0u64);
    let mut buffer = vec![0; PIECE];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok((size, hex::encode(digest.finalize()), head));
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
    fn a_file_that_is_changed_in_place_is_sent_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("a.txt"), dir.path().join("spooled"));
        fs::write(&path, "hello").unwrap();
        let spooled = spool(path.to_str().unwrap(), &[dir.path().to_owned()], 5, &copy).unwrap();
        // Not a new file of the same name: the same file.
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"HELLO").unwrap();
        assert_eq!(measure(&copy).unwrap(), spooled);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whatever_is_put_in_its_place_meanwhile_nothing_outside_is_read_and_nothing_is_waited_for() {
        use std::sync::atomic::{AtomicBool, Ordering};
        use std::time::{Duration, Instant};
        let dir = tempfile::tempdir().unwrap();
        let (root, secret) = (dir.path().join("root"), dir.path().join("secret"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("file"), "secret").unwrap();
        let folder = root.join("folder");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("file"), "public").unwrap();
        let (aside, link) = (root.join("aside"), root.join("link"));
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let over = AtomicBool::new(false);
        let read = std::thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // The folder becomes a link to the secret, and a folder again.
                    let _ = fs::rename(&folder, &aside).and_then(|()| fs::rename(&link, &folder));
                    let _ = fs::rename(&folder, &link).and_then(|()| fs::rename(&aside, &folder));
                }
            });
            let asked = folder.join("file");
            let (mut read, until) = (Vec::new(), Instant::now() + Duration::from_secs(30));
            // On a busy machine it may be some time until it is there when it is asked for.
            for n in 0.. {
                if n >= 400 && (!read.is_empty() || Instant::now() > until) {
                    break;
                }
                let copy = dir.path().join(format!("copy{n}"));
                if spool(asked.to_str().unwrap(), std::slice::from_ref(&root), 100, &copy).is_ok() {
                    read.push(fs::read_to_string(&copy).unwrap_or_default());
                }
            }
            over.store(true, Ordering::Relaxed);
            read
        });
        assert!(!read.is_empty(), "it was there now and then");
        assert!(read.iter().all(|text| text == "public"), "{read:?}");

        let fifo = root.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let why = denied(spool(fifo.to_str().unwrap(), &[root], 100, &dir.path().join("fifo-copy")));
        assert!(why.contains("regular file"), "{why}");
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
