//! The floor under everything that is committed: SQLite by itself, with rows of the same size and nothing around them.

use std::path::Path;

use rusqlite::{Connection, params};

/// A database with one table of messages, without an index, and one cursor.
pub struct Bare {
    db: Connection,
    next: i64,
}

impl Bare {
    /// A new database in `dir`. `synchronous` is SQLite's word: `NORMAL` or `FULL`.
    pub fn create(dir: &Path, synchronous: &str) -> Bare {
        let db = Connection::open(dir.join(format!("bare-{synchronous}.sqlite"))).unwrap();
        db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        db.pragma_update(None, "synchronous", synchronous).unwrap();
        db.execute_batch(
            "CREATE TABLE inbox (id INTEGER PRIMARY KEY, account INTEGER, peer TEXT, key INTEGER, at INTEGER, wire TEXT);
             CREATE TABLE cursor (account INTEGER PRIMARY KEY, cursor TEXT);
             INSERT INTO cursor VALUES (1, '')",
        )
        .unwrap();
        Bare { db, next: 1 }
    }

    /// Commits messages and the cursor behind them. Returns the first row and the one after the last.
    pub fn insert(&mut self, messages: &[(String, String)], cursor: &str) -> (i64, i64) {
        let first = self.next;
        self.run("BEGIN IMMEDIATE");
        {
            let mut insert = self.db.prepare_cached("INSERT INTO inbox VALUES (?1, 1, ?2, ?3, ?4, ?5)").unwrap();
            for (peer, wire) in messages {
                let key = 7_000_000_000_000_000_000 + self.next;
                insert.execute(params![self.next, peer, key, 1_760_000_000_000i64, wire]).unwrap();
                self.next += 1;
            }
            let mut update = self.db.prepare_cached("UPDATE cursor SET cursor = ?1 WHERE account = 1").unwrap();
            update.execute([cursor]).unwrap();
        }
        self.run("COMMIT");
        (first, self.next)
    }

    /// Deletes rows and commits.
    pub fn delete(&mut self, (first, end): (i64, i64)) {
        self.run("BEGIN IMMEDIATE");
        {
            let mut delete = self.db.prepare_cached("DELETE FROM inbox WHERE id = ?1").unwrap();
            for id in first..end {
                delete.execute([id]).unwrap();
            }
        }
        self.run("COMMIT");
    }

    fn run(&self, sql: &str) {
        self.db.prepare_cached(sql).unwrap().execute([]).unwrap();
    }
}
