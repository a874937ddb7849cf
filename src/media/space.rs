//! How much room received files may take: of an account, of one message, and of the disk. It is asked for before the first byte
//! is written.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};

use super::library::{Library, Received};
use crate::process;
use crate::supervise::lock;

/// So much of the disk stays free: a full disk stops more than pictures.
const FREE: u64 = 128 * 1024 * 1024;

const MIB: u64 = 1024 * 1024;

/// What received files may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// All of an account, in bytes.
    pub account: u64,
    /// Those of one message, in bytes.
    pub message: u64,
}

/// Why there is no room. The texts go to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSpace {
    /// The disk is nearly full.
    #[error("it was not fetched: only {free_mib} MiB are free on the disk that the state is on; make room there")]
    Disk {
        /// What is free, in MiB.
        free_mib: u64,
    },
    /// The message's files together are too large.
    #[error(
        "it was not fetched: with it the files of this message would have more than {mib} MiB (a quarter of quoteCache.maxMediaBytesPerAccount)"
    )]
    Message {
        /// In MiB.
        mib: u64,
    },
    /// The account's files are, and all of them are of messages that wait.
    #[error(
        "it was not fetched: with it the received files of this account would have more than {mib} MiB, and their messages still wait (quoteCache.maxMediaBytesPerAccount)"
    )]
    Account {
        /// In MiB.
        mib: u64,
    },
}

/// Who has how much. Clones share it.
#[derive(Clone, Debug)]
pub struct Space {
    library: Library,
    used: Arc<Mutex<HashMap<String, Used>>>,
    walking: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Used {
    /// Bytes of files that are there; not known before the first look.
    files: Option<u64>,
    /// Bytes that came since the beginning.
    came: u64,
    /// Bytes that are on their way, by message.
    coming: HashMap<u64, u64>,
}

/// Room for a file that is on its way. It is given back when this is dropped, and kept for what came by [`Reserved::filled`].
#[derive(Debug)]
pub struct Reserved {
    room: Space,
    account: String,
    key: u64,
    bytes: u64,
}

impl Space {
    /// Of this library.
    pub fn new(library: Library) -> Space {
        Space { library, used: Arc::default(), walking: Arc::default() }
    }

    /// Room for a file of a message. Where an account has too much, files of messages that do not `wait` go, the oldest first.
    /// Blocks.
    pub fn reserve(
        &self,
        account: &str,
        key: u64,
        bytes: u64,
        bounds: Bounds,
        waiting: &HashSet<u64>,
    ) -> Result<Reserved, NoSpace> {
        if let Some(free) = process::free_bytes(self.library.root()).filter(|free| *free < FREE.saturating_add(bytes)) {
            return Err(NoSpace::Disk { free_mib: free / MIB });
        }
        // One at a time looks at the disk; the numbers are free for those that only give something back.
        let _walking = lock(&self.walking);
        let counted = |there: &[Received]| there.iter().map(|file| file.size).sum::<u64>();
        let (known, before) = self.lock().get(account).map_or((None, 0), |used| (used.files, used.came));
        let mut files = known.unwrap_or_else(|| counted(&self.library.received(account)));
        let mut walked = known.is_none();
        let of_message = self.library.size_of(account, key);
        let coming = self.lock().get(account).map(|used| used.coming.clone()).unwrap_or_default();
        let refused = if of_message + coming.get(&key).copied().unwrap_or(0) + bytes > bounds.message {
            Some(NoSpace::Message { mib: bounds.message / MIB })
        } else {
            let more = coming.values().sum::<u64>() + bytes;
            if files + more > bounds.account {
                // Files may have gone, or come, in other ways.
                let there = self.library.received(account);
                files = counted(&there);
                walked = true;
                for Received { path, key: of, size } in there {
                    if files + more <= bounds.account {
                        break;
                    }
                    let in_use = of == key || waiting.contains(&of) || coming.contains_key(&of);
                    if !in_use && fs::remove_file(&path).is_ok() {
                        files = files.saturating_sub(size);
                        // Only an empty folder goes.
                        let _ = path.parent().map(fs::remove_dir);
                    }
                }
            }
            (files + more > bounds.account).then_some(NoSpace::Account { mib: bounds.account / MIB })
        };
        let mut all = self.lock();
        let used = all.entry(account.to_owned()).or_default();
        if walked {
            // What came meanwhile may have been seen or not: it counts once more rather than not at all, until the next look.
            used.files = Some(files + (used.came - before));
        }
        match refused {
            Some(refused) => Err(refused),
            None => {
                *used.coming.entry(key).or_default() += bytes;
                Ok(Reserved { room: self.clone(), account: account.to_owned(), key, bytes })
            }
        }
    }

    /// Looks again: files of other ways have come, or gone.
    pub fn look_again(&self) {
        self.lock().values_mut().for_each(|used| used.files = None);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        // Numbers only; what is wrong is counted again.
        lock(&self.used)
    }
}

impl Reserved {
    /// The file came, and has so many bytes.
    pub fn filled(self, bytes: u64) {
        if let Some(used) = self.room.lock().get_mut(&self.account) {
            used.files = used.files.map(|files| files + bytes);
            used.came += bytes;
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut all = self.room.lock();
        let Some(used) = all.get_mut(&self.account) else { return };
        if let Some(coming) = used.coming.get_mut(&self.key) {
            *coming = coming.saturating_sub(self.bytes);
            if *coming == 0 {
                used.coming.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const BOUNDS: Bounds = Bounds { account: 1_000, message: 600 };

    fn put(library: &Library, key: u64, size: usize) -> PathBuf {
        let path = library.place("a", key, 0, "x").unwrap();
        fs::write(&path, vec![0; size]).unwrap();
        path
    }

    #[test]
    fn room_is_made_by_what_nobody_waits_for_and_nothing_comes_beyond_it() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let room = Space::new(library.clone());
        let waits = HashSet::from([2]);
        let (old, waiting) = (put(&library, 1, 400), put(&library, 2, 400));
        let one = room.reserve("a", 3, 300, BOUNDS, &waits).unwrap();
        assert_eq!((old.exists(), waiting.exists()), (false, true), "the one that nobody waits for went");
        let two = room.reserve("a", 4, 300, BOUNDS, &waits).unwrap();
        assert_eq!(room.reserve("a", 5, 1, BOUNDS, &waits).unwrap_err(), NoSpace::Account { mib: 0 });
        assert!(room.reserve("b", 5, 600, BOUNDS, &waits).is_ok(), "another account has its own");
        drop(two);
        let three = room.reserve("a", 5, 300, BOUNDS, &waits).unwrap();
        put(&library, 5, 250);
        three.filled(250);
        assert!(room.reserve("a", 6, 50, BOUNDS, &waits).is_ok());
        drop(one);
        assert!(waiting.exists());
    }

    #[test]
    fn one_message_does_not_take_it_all() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let room = Space::new(library.clone());
        let nobody = HashSet::new();
        put(&library, 1, 300);
        let half = room.reserve("a", 1, 300, BOUNDS, &nobody).unwrap();
        assert_eq!(room.reserve("a", 1, 1, BOUNDS, &nobody).unwrap_err(), NoSpace::Message { mib: 0 });
        drop(half);
        assert!(room.reserve("a", 1, 300, BOUNDS, &nobody).is_ok());
        assert!(matches!(room.reserve("a", 1, 1 << 60, BOUNDS, &nobody), Err(NoSpace::Disk { .. })));
    }
}
