//! Where media files are: a folder for each message with media, and a spool for what is to be sent.
//!
//! `<state dir>/openclaw-weixin/media/<account>/<message id>/<n>-<name>`; `…/media/.spool/<time>-<random>`. Files are 0600,
//! their folders 0700. A gateway puts what it wants sent into `…/media/.staging`, or names folders of its own. A part's place does not depend on when it is fetched: what a message brought once is found again
//! after a restart.
//!
//! How long a file of the spool has been here is in its name; a message's folder is as old as what was put into it last.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::mime::mime_of;
use super::name::safe_name;
use crate::private;

/// No account's id begins with a dot.
const SPOOL: &str = ".spool";
/// Where the spool was once. An account of that name has its folder there.
const OLD_SPOOL: &str = "spool";
/// Files younger than this are not removed to make room: somebody may be at them.
const IN_USE: Duration = Duration::from_secs(3600);
/// What is left of a transfer that was cut, or of a send that is over.
const LEFTOVER: Duration = Duration::from_secs(24 * 3600);
const HEAD: u64 = 8 * 1024;

/// How long media are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// At most so long.
    pub age: Duration,
    /// At most so many bytes for an account.
    pub bytes: u64,
    /// Files larger than this are kept for a day only, in bytes.
    pub single: u64,
}

/// A media file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// By its content.
    pub mime: String,
    /// Its name without the number before it.
    pub name: String,
}

/// A file that a message brought.
#[derive(Debug)]
pub(super) struct Received {
    pub path: PathBuf,
    pub key: u64,
    /// In bytes.
    pub size: u64,
}

/// The media directory.
#[derive(Clone, Debug)]
pub struct Library {
    root: PathBuf,
}

impl Library {
    /// In this directory.
    pub fn new(root: PathBuf) -> Library {
        Library { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The media part `n` of a message, if it is here.
    pub fn find(&self, account: &str, key: u64, n: usize) -> Option<Stored> {
        let prefix = format!("{n}-");
        let entries = fs::read_dir(self.folder(account, key)).ok()?;
        let named = entries.filter_map(Result::ok).filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) && !is_partial(&entry.path())
        });
        // The first by name: a kill may leave a voice message in both its forms, and then `.silk` is to be finished.
        stored(&named.map(|entry| entry.path()).min()?, n)
    }

    /// The first media file of a message, if one is here.
    pub fn first(&self, account: &str, key: u64) -> Option<Stored> {
        (0..32).find_map(|n| self.find(account, key, n))
    }

    /// The files that an account's messages brought, the oldest first.
    pub(super) fn received(&self, account: &str) -> Vec<Received> {
        let mut found = Vec::new();
        for folder in folders(&self.root.join(safe_name(account))).unwrap_or_default() {
            let Some(key) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            let put = fs::metadata(&folder).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            // What is on its way has its room already.
            for file in files(&folder).unwrap_or_default().into_iter().filter(|file| !is_partial(&file.path)) {
                found.push((put, Received { path: file.path, key, size: file.size }));
            }
        }
        found.sort_by_key(|(put, _)| *put);
        found.into_iter().map(|(_, file)| file).collect()
    }

    /// How many bytes the files of a message have.
    pub(super) fn size_of(&self, account: &str, key: u64) -> u64 {
        let files = files(&self.folder(account, key)).unwrap_or_default();
        files.iter().filter(|file| !is_partial(&file.path)).map(|file| file.size).sum()
    }

    /// Writes a small file of ours as part `n` of a message. Blocks.
    pub fn write(&self, account: &str, key: u64, n: usize, name: &str, content: &[u8]) -> io::Result<Stored> {
        use io::Write as _;
        let path = self.place(account, key, n, name)?;
        let mut part = path.clone().into_os_string();
        part.push(format!(".{:08x}.part", rand::random::<u32>()));
        let written = private::new_file(Path::new(&part)).and_then(|mut file| file.write_all(content));
        if let Err(error) = written.and_then(|()| fs::rename(&part, &path)) {
            let _ = fs::remove_file(&part);
            return Err(error);
        }
        stored(&path, n).ok_or_else(|| io::Error::other("it is gone"))
    }

    /// The message of an account whose file this is, where it is one. Follows links.
    pub fn key_of(&self, account: &str, file: &Path) -> Option<u64> {
        let folder = fs::canonicalize(self.root.join(safe_name(account))).ok()?;
        let file = fs::canonicalize(file).ok()?;
        let mut parts = file.strip_prefix(&folder).ok()?.components();
        let key = parts.next()?.as_os_str().to_str()?.parse().ok()?;
        (parts.count() == 1).then_some(key)
    }

    /// Where part `n` of a message goes. Makes the folder; what a killed process left of the part's transfer goes.
    pub fn place(&self, account: &str, key: u64, n: usize, name: &str) -> io::Result<PathBuf> {
        let folder = self.folder(account, key);
        private::make_dir(&folder)?;
        for file in files(&folder)? {
            let of_part = |name: &str| name.starts_with(&format!("{n}-"));
            if is_partial(&file.path) && file.path.file_name().and_then(|name| name.to_str()).is_some_and(of_part) {
                fs::remove_file(&file.path)?;
            }
        }
        Ok(folder.join(format!("{n}-{}", safe_name(name))))
    }

    /// A new place in the spool.
    pub fn spool(&self) -> io::Result<PathBuf> {
        let folder = self.root.join(SPOOL);
        private::make_dir(&folder)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(folder.join(format!("{}-{:032x}", now.as_secs(), rand::random::<u128>())))
    }

    /// Removes an account's files.
    pub fn forget(&self, account: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(safe_name(account))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Removes what is too old, and the oldest of what is too much. `spooled` are files of the spool that are still to
    /// be sent. Returns how many files were removed.
    pub fn clean(&self, keep: Keep, spooled: &dyn Fn(&Path) -> bool) -> io::Result<usize> {
        let now = SystemTime::now();
        let mut removed = 0;
        for account in folders(&self.root)? {
            let name = account.file_name().unwrap_or_default().to_string_lossy();
            // The files in a spool, or in a gateway's staging folder, are no account's.
            if name.starts_with('.') || name == OLD_SPOOL {
                for file in files(&account)? {
                    let since = spooled_at(&file.path).unwrap_or(file.since);
                    if age(since, now) > LEFTOVER && !spooled(&file.path) {
                        removed += usize::from(fs::remove_file(&file.path).is_ok());
                    }
                }
            }
            if name.starts_with('.') {
                continue;
            }
            let mut all = Vec::new();
            for folder in folders(&account)? {
                let mut inside = files(&folder)?;
                if inside.is_empty() {
                    let _ = fs::remove_dir(&folder);
                }
                let put = fs::metadata(&folder).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                inside.iter_mut().for_each(|file| file.since = file.since.max(put));
                all.extend(inside);
            }
            all.sort_by_key(|file| std::cmp::Reverse(file.since));
            let mut total = 0u64;
            for file in all {
                let age = age(file.since, now);
                total = total.saturating_add(file.size);
                let day_only = is_partial(&file.path) || file.size > keep.single;
                let old = age > keep.age || (day_only && age > LEFTOVER) || (total > keep.bytes && age > IN_USE);
                if old && fs::remove_file(&file.path).is_ok() {
                    removed += 1;
                    total -= file.size;
                    if let Some(folder) = file.path.parent() {
                        // Only an empty folder goes.
                        let _ = fs::remove_dir(folder);
                    }
                }
            }
        }
        Ok(removed)
    }

    fn folder(&self, account: &str, key: u64) -> PathBuf {
        self.root.join(safe_name(account)).join(key.to_string())
    }
}

/// What a file of the library is.
fn stored(path: &Path, n: usize) -> Option<Stored> {
    let mut head = Vec::new();
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    file.take(HEAD).read_to_end(&mut head).ok()?;
    let name = path.file_name()?.to_str()?.strip_prefix(&format!("{n}-"))?.to_owned();
    Some(Stored { mime: mime_of(&head, Some(&name)).into_owned(), path: path.to_owned(), size, name })
}

struct Entry {
    path: PathBuf,
    size: u64,
    /// When its content was written, or later, when it came here.
    since: SystemTime,
}

fn age(since: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(since).unwrap_or_default()
}

/// Whether a file is a transfer under way, or what is left of one, as `cdn` and `voice` name it: `….<8 hex digits>.part`.
fn is_partial(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".part"));
    name.and_then(|name| name.rsplit_once('.'))
        .is_some_and(|(_, random)| random.len() == 8 && random.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// When a file was put into the spool, as its name says.
fn spooled_at(file: &Path) -> Option<SystemTime> {
    let (time, _) = file.file_name()?.to_str()?.split_once('-')?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.parse().ok()?))
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    Ok(entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect())
}

fn files(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)?.filter_map(Result::ok) {
        let Ok(about) = entry.metadata() else { continue };
        if about.is_file() {
            let since = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Entry { path: entry.path(), size: about.len(), since });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep { age: Duration::from_secs(7 * 24 * 3600), bytes: 1000, single: 600 };

    fn put(library: &Library, key: u64, size: usize, hours_ago: u64) -> PathBuf {
        let path = library.place("a-im-bot", key, 0, "x.bin").unwrap();
        fs::write(&path, vec![0; size]).unwrap();
        written(&path, hours_ago);
        put_there(&path, hours_ago);
        path
    }

    fn written(path: &Path, hours_ago: u64) {
        let then = SystemTime::now() - Duration::from_secs(hours_ago * 3600);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    fn put_there(path: &Path, hours_ago: u64) {
        let then = SystemTime::now() - Duration::from_secs(hours_ago * 3600);
        let mut options = File::options();
        #[cfg(unix)]
        options.read(true);
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt as _;
            use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_BACKUP_SEMANTICS, FILE_WRITE_ATTRIBUTES};
            options.access_mode(FILE_WRITE_ATTRIBUTES).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        }
        options.open(path.parent().unwrap()).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn a_part_is_found_again_and_named_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().join("media"));
        assert_eq!(library.find("a@im.bot", 7, 1), None);
        let path = library.place("a@im.bot", 7, 1, "../note.md").unwrap();
        assert!(path.starts_with(dir.path()));
        fs::write(&path, "hello").unwrap();
        let found = library.find("a@im.bot", 7, 1).unwrap();
        assert_eq!((found.size, found.mime.as_str(), found.name.as_str()), (5, "text/markdown", "note.md"));
        assert_eq!(library.first("a@im.bot", 7), Some(found));
        assert_eq!(library.find("a@im.bot", 7, 11), None);
    }

    #[test]
    fn what_is_old_large_or_too_much_goes_and_what_is_new_stays() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let old = put(&library, 1, 10, 8 * 24);
        let large = put(&library, 2, 700, 25);
        let first = put(&library, 3, 500, 3);
        let second = put(&library, 4, 500, 2);
        let fresh = put(&library, 5, 500, 0);
        assert_eq!(library.clean(KEEP, &|_| false).unwrap(), 3);
        let there: Vec<bool> = [&old, &large, &first, &second, &fresh].map(|path| path.exists()).into();
        assert_eq!(there, [false, false, false, true, true]);
        assert!(!old.parent().unwrap().exists());
        library.forget("a-im-bot").unwrap();
        assert!(!fresh.exists());
    }

    #[test]
    fn the_spool_keeps_what_is_still_to_be_sent() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let then = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - 2 * LEFTOVER;
        let spool = library.spool().unwrap();
        let old = |name: &str| spool.with_file_name(format!("{}-{name}", then.as_secs()));
        let (forgotten, waiting) = (old("a"), old("b"));
        for path in [&forgotten, &waiting, &spool] {
            fs::write(path, "x").unwrap();
        }
        library.clean(KEEP, &|path| path == waiting).unwrap();
        assert_eq!((forgotten.exists(), waiting.exists(), spool.exists()), (false, true, true));
    }

    #[test]
    fn an_account_called_spool_has_a_folder_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let received = library.place("spool", 7, 0, "x.bin").unwrap();
        fs::write(&received, "x").unwrap();
        // What an earlier version left where the spool was.
        let left = dir.path().join("spool/1000000-00000000000000000000000000000000");
        fs::write(&left, "x").unwrap();
        let waiting = library.spool().unwrap();
        fs::write(&waiting, "x").unwrap();
        library.clean(KEEP, &|_| false).unwrap();
        assert_eq!((received.exists(), left.exists()), (true, false));
        library.forget("spool").unwrap();
        assert_eq!((received.exists(), waiting.exists()), (false, true));
    }

    #[test]
    #[cfg(unix)]
    fn an_old_file_that_was_sent_today_is_kept_as_long_as_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let path = put(&library, 1, 10, 0);
        written(&path, 30 * 24);
        library.clean(KEEP, &|_| false).unwrap();
        assert!(path.exists());
        put_there(&path, 8 * 24);
        library.clean(KEEP, &|_| false).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_left_of_a_cut_transfer_goes_when_the_part_is_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let beside =
            |path: &Path| path.with_file_name(format!("{}.0a1b2c3d.part", path.file_name().unwrap().display()));
        let parts = [1, 11].map(|n| beside(&library.place("a", 7, n, "x").unwrap()));
        parts.iter().for_each(|part| fs::write(part, "half").unwrap());
        library.place("a", 7, 1, "x").unwrap();
        assert_eq!(parts.map(|part| part.exists()), [false, true]);
        assert_eq!(library.find("a", 7, 11), None, "it is not the part");
    }

    #[test]
    fn what_a_person_calls_a_part_is_a_file_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::new(dir.path().to_owned());
        let path = library.place("a", 7, 1, "film.part").unwrap();
        fs::write(&path, "the first of three").unwrap();
        library.place("a", 7, 1, "film.part").unwrap();
        assert_eq!(library.find("a", 7, 1).unwrap().name, "film.part");
    }
}
