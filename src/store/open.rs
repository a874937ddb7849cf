//! Opening the database, and what happens when that does not work.
//!
//! A damaged database is never deleted and never written to: it is moved aside under a name that says when, a new one
//! is begun, and the caller is told both paths.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::MIGRATIONS;
use crate::private;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A database up to this size is checked page by page at every start; a larger one by `doctor`.
const QUICK_CHECK_UP_TO: u64 = 4 * 1024 * 1024;

/// Why the database cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The state directory cannot be made or written.
    #[error(
        "the state directory {dir} cannot be written ({cause}); make it writable for this user, or choose another with OPENCLAW_STATE_DIR"
    )]
    Directory {
        dir: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// There is no room.
    #[error("the disk of {path} is full; free some space, nothing that was accepted before is lost ({cause})")]
    DiskFull {
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// The disk refused to read or to write.
    #[error(
        "the disk refused to read or write the database {path} ({cause}); see that it is there, sound and writable; nothing that was accepted before is lost"
    )]
    Disk {
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// The database went bad while it was open.
    #[error(
        "the database {path} is damaged ({cause}); restart: it will be put aside, not deleted, and a new one begun"
    )]
    Damaged {
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// A newer version wrote the database.
    #[error(
        "the database {path} was written by a newer version (schema {found}, this one knows {known}); update openclaw-weixin-sidecar"
    )]
    Newer {
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest that this build knows.
        known: i64,
    },
    /// Another process held the database too long.
    #[error("the database {path} is in use by another process ({cause}); try again")]
    Busy {
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// Anything else that SQLite or the system refused.
    #[error("the database {path} cannot be used ({cause})")]
    Other {
        path: PathBuf,
        /// What was said.
        cause: String,
    },
    /// Something in this program failed that must not fail.
    #[error("a defect of the sidecar at the database {path}; its log says more. Nothing was changed")]
    Defect { path: PathBuf },
    /// The store was closed.
    #[error("the database is closed: the sidecar is shutting down")]
    Closed,
}

impl StoreError {
    /// Sorts an SQLite error.
    pub fn from_sqlite(path: &Path, error: &rusqlite::Error) -> StoreError {
        let (path, cause) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { path, cause },
            Some(ErrorCode::SystemIoFailure) => StoreError::Disk { path, cause },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { path, cause },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path, cause },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreError::Directory { dir: path.parent().unwrap_or(&path).to_owned(), cause }
            }
            _ => StoreError::Other { path, cause },
        }
    }

    /// Whether the same call may succeed later by itself.
    pub fn is_retryable(&self) -> bool {
        matches!(self, StoreError::Busy { .. } | StoreError::DiskFull { .. } | StoreError::Disk { .. })
    }
}

/// What opening found that a person should know.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// Where a damaged database was put.
    pub put_aside: Option<PathBuf>,
    /// Why it was put aside.
    pub damage: Option<String>,
}

impl OpenReport {
    /// The report as a sentence for a person.
    pub fn warning(&self) -> Option<String> {
        let path = self.put_aside.as_ref()?;
        Some(format!(
            "the database was damaged ({}); it was kept as {} and a new one begun. Logins are kept. Messages that were \
             waiting in it are in that file only; the server hands over again what it still has.",
            self.damage.as_deref().unwrap_or("unreadable"),
            path.display()
        ))
    }
}

/// How long another process may take to open the database before this one gives up.
const OPENING: Duration = Duration::from_secs(10);
/// How often it is looked for its end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Opens or creates the database at `path` and brings it to the newest schema.
pub fn open(path: &Path) -> Result<(Connection, OpenReport), StoreError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let denied = |cause: io::Error| match cause.kind() {
        io::ErrorKind::StorageFull => StoreError::DiskFull { path: path.to_owned(), cause: cause.to_string() },
        _ => StoreError::Directory { dir: dir.to_owned(), cause: cause.to_string() },
    };
    private::own_dir(dir).map_err(denied)?;
    // Two processes may start at once: the first one looks at the file, and moves it aside where it must.
    let guard = private::lock_file(&path.with_extension("sqlite.lock")).map_err(denied)?;
    wait_for_turn(&guard).map_err(|error| match error {
        TryLockError::Error(cause) => denied(cause),
        TryLockError::WouldBlock => StoreError::Busy {
            path: path.to_owned(),
            cause: format!("another process has been opening it for {} s", OPENING.as_secs()),
        },
    })?;
    let opened = open_guarded(path);
    drop(guard);
    opened
}

/// Waits for another process that opens the database, for [`OPENING`] at most: one that is stopped, or whose disk hangs,
/// keeps nobody for ever.
fn wait_for_turn(guard: &fs::File) -> Result<(), TryLockError> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        match guard.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < OPENING => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("another process is opening the database; waiting for it");
                }
                std::thread::sleep(LOOK_AGAIN);
            }
            // Asked only once: on Windows a lock is refused to whoever has it.
            done => return done,
        }
    }
}

fn open_guarded(path: &Path) -> Result<(Connection, OpenReport), StoreError> {
    match open_and_migrate(path) {
        Ok(connection) => Ok((connection, OpenReport::default())),
        Err(StoreError::Damaged { cause, .. }) => {
            let aside = put_aside(path).map_err(|e| StoreError::Other {
                path: path.to_owned(),
                cause: format!("damaged ({cause}), and {e}"),
            })?;
            let report = OpenReport { put_aside: Some(aside), damage: Some(cause) };
            Ok((open_and_migrate(path)?, report))
        }
        Err(other) => Err(other),
    }
}

fn open_and_migrate(path: &Path) -> Result<Connection, StoreError> {
    let sort = |error: rusqlite::Error| StoreError::from_sqlite(path, &error);
    let size = fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    let mut connection = connect(path).map_err(sort)?;
    checkpoint_on_close(&connection, false).map_err(sort)?;
    private::close_to_others(path).map_err(|e| StoreError::Directory { dir: path.to_owned(), cause: e.to_string() })?;
    if size > 0 && size <= QUICK_CHECK_UP_TO {
        quick_check(&connection, path)?;
    }
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sort)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if found < known {
        let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(sort)?;
        for migration in &MIGRATIONS[found as usize..] {
            tx.execute_batch(migration).map_err(sort)?;
        }
        tx.pragma_update(None, "user_version", known).map_err(sort)?;
        tx.commit().map_err(sort)?;
    }
    checkpoint_on_close(&connection, true).map_err(sort)?;
    Ok(connection)
}

/// Whether closing the last connection writes the log into the database. Off until the database is known to be sound: a
/// damaged one is to be kept as it was found.
fn checkpoint_on_close(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on).map(|_| ())
}

/// A connection with the settings that every one of them has.
pub fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // What fails below may be damaged, and its log must then stay.
    checkpoint_on_close(&connection, false)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    if fs::metadata(path).map(|m| m.len()).unwrap_or(0) == 0 {
        // A new database has nothing to lose: its first pages need not wait for the disk, which a start would feel.
        connection.pragma_update(None, "synchronous", "OFF")?;
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    // 1 MiB of pages: the working set is small, and memory is to stay flat.
    connection.pragma_update(None, "cache_size", -1024)?;
    // Savepoints of the jobs that share a commit would otherwise go through a temporary file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The log is folded back by the reader thread, so that no commit has to wait for it.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    checkpoint_on_close(&connection, true)?;
    Ok(connection)
}

fn quick_check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(path, &error))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { path: path.to_owned(), cause: verdict })
}

/// Checks every page of the database at `path`, for `doctor`. A missing one is sound.
pub fn check(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let sort = |error: rusqlite::Error| StoreError::from_sqlite(path, &error);
    let connection = connect(path).map_err(sort)?;
    checkpoint_on_close(&connection, false).map_err(sort)?;
    quick_check(&connection, path)
}

/// Renames the database and its log files; returns the new path.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let stamp = super::now_ms();
    let name = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = name(&format!(".damaged-{stamp}"));
    fs::rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        match fs::rename(name(ending), name(&format!(".damaged-{stamp}{ending}"))) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(aside)
}
