//! The two threads that touch the database, and the handle through which everyone else asks them.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::open::{self, OpenReport, StoreError};

/// Jobs that share a commit at most. More wait for the next one.
const JOBS_PER_COMMIT: usize = 1024;
/// Jobs that may wait; callers wait beyond it.
const QUEUE: usize = 4096;
/// The log is folded back when it has grown by this many pages (4 KiB each).
const CHECKPOINT_PAGES: i32 = 1024;
/// Beyond this many pages the writer itself folds the log back, so that it cannot grow without bound.
const CHECKPOINT_FORCED_PAGES: i32 = 16 * 1024;

/// What a commit has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process.
    Process,
    /// A power cut as well: the commit waits for the disk.
    Disk,
}

type AfterCommit = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Gets the connection, or why there is no transaction to run in. Says why it failed, where it did.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (AfterCommit, Option<StoreError>) + Send>;

enum Ask {
    Write(Durability, Job),
    Read(Box<dyn FnOnce(&Connection) + Send>),
    Checkpoint,
    Close(oneshot::Sender<()>),
}

/// A handle on the database. Clones share the threads.
#[derive(Clone)]
pub struct Store {
    path: Arc<PathBuf>,
    writer: mpsc::Sender<Ask>,
    reader: mpsc::Sender<Ask>,
}

impl Store {
    /// Opens or creates the database at `path` and starts its threads. Blocks while it does: call it from a
    /// blocking context.
    pub fn open(path: &Path) -> Result<(Store, OpenReport), StoreError> {
        let (write, report) = open::open(path)?;
        let read = open::connect(path).map_err(|error| StoreError::from_sqlite(path, &error))?;
        let path = Arc::new(path.to_owned());
        let (writer, writer_asks) = mpsc::channel(QUEUE);
        let (reader, reader_asks) = mpsc::channel(QUEUE);
        let checkpointing = Arc::new(AtomicBool::new(false));
        let failed = |e: std::io::Error| StoreError::Other { path: path.to_path_buf(), cause: e.to_string() };
        let (w_path, w_flag, w_reader) = (path.clone(), checkpointing.clone(), reader.downgrade());
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                Writer {
                    connection: write,
                    path: w_path,
                    reader: w_reader,
                    checkpointing: w_flag,
                    log_pages: Arc::default(),
                    asked_at: 0,
                }
                .run(writer_asks)
            })
            .map_err(failed)?;
        std::thread::Builder::new()
            .name("store-reader".into())
            .spawn(move || read_loop(read, reader_asks, &checkpointing))
            .map_err(failed)?;
        Ok((Store { path, writer, reader }, report))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `job` in a transaction and returns when it is committed. An error of `job` undoes what it wrote and
    /// nothing else.
    pub async fn write<T, F>(&self, durability: Durability, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.write_then(durability, job, |_| {}).await
    }

    /// Like [`Store::write`]; `then` sees the result on the writer thread right after the commit, so that what
    /// several jobs announce by it comes in the order of their commits. It must not block.
    pub async fn write_then<T, F, G>(&self, durability: Durability, job: F, then: G) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        G: FnOnce(&T) + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let path = self.path.clone();
        let job: Job = Box::new(move |connection| {
            let result = connection.and_then(|connection| in_savepoint(connection, &path, job));
            let failure = result.as_ref().err().cloned();
            let after = move |committed: Result<(), StoreError>| {
                let result = result.and_then(|value| committed.map(|()| value));
                if let Ok(value) = &result {
                    then(value);
                }
                // The caller may have given up; what was committed stays committed.
                let _ = answer.send(result);
            };
            (Box::new(after), failure)
        });
        self.writer.send(Ask::Write(durability, job)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `job` on the reading connection, which sees every commit made before the call.
    pub async fn read<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let path = self.path.clone();
        let ask = Ask::Read(Box::new(move |connection| {
            let _ = answer.send(caught(&path, || job(connection)));
        }));
        self.reader.send(ask).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Commits what waits, folds the log back and closes the database. Later calls get [`StoreError::Closed`].
    pub async fn close(&self) {
        for thread in [&self.writer, &self.reader] {
            let (done, is_done) = oneshot::channel();
            if thread.send(Ask::Close(done)).await.is_ok() {
                let _ = is_done.await;
            }
        }
    }
}

/// Runs a job so that its failure undoes what it wrote and nothing else. Where SQLite rolled the whole transaction back
/// because of it (a full disk, a disk error), there is nothing left to undo, and the caller has to see that.
fn in_savepoint<T>(
    connection: &Connection,
    path: &Path,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let run = |sql: &str| {
        let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]).map(|_| ()));
        done.map_err(|error| StoreError::from_sqlite(path, &error))
    };
    run("SAVEPOINT job")?;
    let error = match caught(path, || job(connection)) {
        Ok(value) => match run("RELEASE job") {
            Ok(()) => return Ok(value),
            Err(error) => error,
        },
        Err(error) => error,
    };
    if !connection.is_autocommit() {
        run("ROLLBACK TO job")?;
        run("RELEASE job")?;
    }
    Err(error)
}

/// A job that panics is a job that failed: the thread serves everybody else.
fn caught<T>(path: &Path, job: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, StoreError> {
    match std::panic::catch_unwind(AssertUnwindSafe(job)) {
        Ok(done) => done.map_err(|error| StoreError::from_sqlite(path, &error)),
        Err(_) => Err(StoreError::Defect { path: path.to_owned() }),
    }
}

struct Writer {
    connection: Connection,
    path: Arc<PathBuf>,
    reader: mpsc::WeakSender<Ask>,
    /// Whether the reader was asked to fold the log back and has not done so yet.
    checkpointing: Arc<AtomicBool>,
    /// Pages in the log after the last commit.
    log_pages: Arc<AtomicI32>,
    /// Pages in the log when the reader was last asked.
    asked_at: i32,
}

impl Writer {
    fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let log_pages = self.log_pages.clone();
        let hooked = self.connection.wal_hook(Some(move |_: &mut _, pages| {
            log_pages.store(pages, Ordering::Relaxed);
            Ok(())
        }));
        debug_assert!(hooked.is_ok());
        let mut synced = false;
        let mut batch: Vec<AfterCommit> = Vec::new();
        let mut jobs: VecDeque<Job> = VecDeque::new();
        let mut close = None;
        while close.is_none() {
            let mut durability = Durability::Process;
            let Some(first) = asks.blocking_recv() else { break };
            let mut next = Some(first);
            while let Some(ask) = next {
                match ask {
                    Ask::Write(wanted, job) => {
                        if wanted == Durability::Disk {
                            durability = Durability::Disk;
                        }
                        jobs.push_back(job);
                    }
                    Ask::Close(done) => close = Some(done),
                    Ask::Read(_) | Ask::Checkpoint => {}
                }
                next = if jobs.len() < JOBS_PER_COMMIT && close.is_none() { asks.try_recv().ok() } else { None };
            }
            if jobs.is_empty() {
                continue;
            }
            let wants_sync = durability == Durability::Disk;
            if wants_sync != synced {
                let value = if wants_sync { "FULL" } else { "NORMAL" };
                if self.connection.pragma_update(None, "synchronous", value).is_ok() {
                    synced = wants_sync;
                }
            }
            while !jobs.is_empty() {
                let committed = self.commit(&mut jobs, &mut batch);
                for after in batch.drain(..) {
                    after(committed.clone());
                }
            }
            self.checkpoint();
        }
        // Jobs that came after the close are dropped: their callers see that the store is closed.
        drop(self.connection);
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    /// Runs jobs in one transaction. A job whose failure rolls the transaction back ends it: those before it have failed as
    /// well, those behind it are left for the next one. Nothing is both committed and reported as failed.
    fn commit(&self, jobs: &mut VecDeque<Job>, batch: &mut Vec<AfterCommit>) -> Result<(), StoreError> {
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([]).map(|_| ());
        let sort = |error: rusqlite::Error| StoreError::from_sqlite(&self.path, &error);
        if let Err(error) = run("BEGIN IMMEDIATE").map_err(sort) {
            batch.extend(jobs.drain(..).map(|job| job(Err(error.clone())).0));
            return Err(error);
        }
        while let Some(job) = jobs.pop_front() {
            let (after, failure) = job(Ok(&self.connection));
            batch.push(after);
            if self.connection.is_autocommit() {
                let closed = || StoreError::Other { path: self.path.to_path_buf(), cause: "rolled back".to_owned() };
                return Err(failure.unwrap_or_else(closed));
            }
        }
        run("COMMIT").map_err(|error| {
            let error = sort(error);
            let _ = run("ROLLBACK");
            error
        })
    }

    /// Asks the reader to fold the log back where it has grown; does it itself where the reader cannot keep up.
    fn checkpoint(&mut self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        // A log that is folded back begins anew, shorter than it was.
        self.asked_at = self.asked_at.min(pages);
        if pages > CHECKPOINT_FORCED_PAGES {
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        } else if pages - self.asked_at > CHECKPOINT_PAGES
            && !self.checkpointing.swap(true, Ordering::AcqRel)
            && let Some(reader) = self.reader.upgrade()
        {
            match reader.try_send(Ask::Checkpoint) {
                Ok(()) => self.asked_at = pages,
                Err(_) => self.checkpointing.store(false, Ordering::Release),
            }
        }
    }
}

fn read_loop(connection: Connection, mut asks: mpsc::Receiver<Ask>, checkpointing: &AtomicBool) {
    while let Some(ask) = asks.blocking_recv() {
        match ask {
            Ask::Read(job) => job(&connection),
            Ask::Checkpoint => {
                let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                checkpointing.store(false, Ordering::Release);
            }
            Ask::Write(..) => {}
            Ask::Close(done) => {
                drop(connection);
                let _ = done.send(());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store(dir: &tempfile::TempDir) -> Store {
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        store
            .write(Durability::Process, |db| db.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
            .await
            .unwrap();
        store
    }

    fn insert(store: &Store, n: i64) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let store = store.clone();
        async move {
            store.write(Durability::Process, move |db| db.execute("INSERT INTO t VALUES (?1)", [n]).map(|_| ())).await
        }
    }

    async fn rows(store: &Store) -> Vec<i64> {
        let all =
            |db: &Connection| db.prepare("SELECT n FROM t ORDER BY n")?.query_map([], |row| row.get(0))?.collect();
        store.read(all).await.unwrap()
    }

    /// Jobs that are all in the queue before the writer takes the first of them, so that they share a transaction.
    async fn together<T>(store: &Store, jobs: impl Future<Output = T>) -> T {
        let (free, waits) = std::sync::mpsc::channel::<()>();
        let (runs, is_running) = oneshot::channel();
        let busy = store.write(Durability::Process, move |_| {
            let _ = runs.send(());
            let _ = waits.recv();
            Ok(())
        });
        let jobs = async {
            // The writer is at the other job, and has taken nothing else along.
            let _ = is_running.await;
            let queued = async {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                drop(free);
            };
            futures_util::join!(jobs, queued).0
        };
        futures_util::join!(busy, jobs).1
    }

    #[tokio::test]
    async fn a_job_that_rolls_the_transaction_back_takes_those_before_it_along_and_none_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        // What SQLite does by itself when the disk is full in the middle.
        let rolls_back = store.write(Durability::Process, |db| {
            db.execute("INSERT INTO t VALUES (2)", [])?;
            db.execute_batch("ROLLBACK")?;
            Err::<(), _>(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None))
        });
        let jobs = async { futures_util::join!(insert(&store, 1), rolls_back, insert(&store, 3), insert(&store, 4)) };
        let (one, two, three, four) = together(&store, jobs).await;
        assert!(matches!(two, Err(StoreError::DiskFull { .. })), "{two:?}");
        assert!(matches!(one, Err(StoreError::DiskFull { .. })), "it was undone, so it has failed: {one:?}");
        assert!(three.is_ok() && four.is_ok(), "{three:?} {four:?}");
        assert_eq!(rows(&store).await, [3, 4], "what is reported is what is there");
    }

    #[tokio::test]
    async fn a_job_that_fails_or_panics_undoes_its_own_work_only() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let fails = store.write(Durability::Process, |db| {
            db.execute("INSERT INTO t VALUES (2)", [])?;
            db.execute("INSERT INTO t VALUES (2)", []).map(|_| ())
        });
        let panics = store.write(Durability::Process, |db| -> rusqlite::Result<()> {
            db.execute("INSERT INTO t VALUES (9)", [])?;
            panic!("on purpose")
        });
        let jobs = async { futures_util::join!(insert(&store, 1), fails, panics, insert(&store, 3)) };
        let (one, two, nine, three) = together(&store, jobs).await;
        assert!(one.is_ok() && three.is_ok() && two.is_err());
        assert!(matches!(nine, Err(StoreError::Defect { .. })), "{nine:?}");
        let panics = store.read(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await;
        assert!(matches!(panics, Err(StoreError::Defect { .. })), "{panics:?}");
        assert_eq!(rows(&store).await, [1, 3], "and both threads go on");
    }
}
