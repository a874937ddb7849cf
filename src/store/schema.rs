//! The tables. A change is a new entry in [`MIGRATIONS`]; entries that were released are never edited.

/// Each entry brings a database from the version that is its index to the next one.
pub const MIGRATIONS: &[&str] = &[
    // 0 -> 1: the first release.
    "
    CREATE TABLE account (
        no          INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given again: another process may still use it
        account_id  TEXT NOT NULL UNIQUE,
        cursor      TEXT NOT NULL DEFAULT '',
        imported    INTEGER NOT NULL DEFAULT 0,   -- whether the official plugin's files were read
        label       TEXT,
        -- How fast the bot may send: a token bucket for the minute, the times of its last sends for the second, and the
        -- pause that the server forced.
        bucket      REAL,
        bucket_at   INTEGER NOT NULL DEFAULT 0,
        last_sends  TEXT NOT NULL DEFAULT '',
        closed_until INTEGER NOT NULL DEFAULT 0,
        closed_step INTEGER NOT NULL DEFAULT 0
    );

    -- Messages that the server handed over and the gateway has not acked. `key` is the server's message id
    -- (a uint64 kept as the i64 of the same bits), or a hash where the server gave none.
    CREATE TABLE inbox (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        account     INTEGER NOT NULL,
        peer        TEXT NOT NULL,
        key         INTEGER NOT NULL,
        attempt     INTEGER NOT NULL DEFAULT 0,   -- deliveries so far
        received_at INTEGER NOT NULL,
        wire        TEXT NOT NULL                 -- the message as the server sent it
    );
    CREATE UNIQUE INDEX inbox_key ON inbox (account, key);
    CREATE INDEX inbox_lane ON inbox (account, peer, id);

    -- Ids of messages that were taken in, for dropping duplicates, and of those that were sent; for a while with their
    -- texts, for quotes.
    CREATE TABLE seen (
        account     INTEGER NOT NULL,
        key         INTEGER NOT NULL,
        at          INTEGER NOT NULL,
        peer        TEXT,
        from_bot    INTEGER NOT NULL DEFAULT 0,
        text        TEXT,
        PRIMARY KEY (account, key)
    ) WITHOUT ROWID;

    -- What is known of each person: the newest context token, and what it was used for.
    CREATE TABLE peer (
        account       INTEGER NOT NULL,
        peer          TEXT NOT NULL,
        context_token TEXT NOT NULL,
        token_at      INTEGER NOT NULL,
        sends         INTEGER NOT NULL DEFAULT 0,  -- wire messages sent with this token
        closed_until  INTEGER NOT NULL DEFAULT 0,
        closed_step   INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, peer)
    ) WITHOUT ROWID;

    -- A send that the gateway asked for, and the wire messages that it became.
    CREATE TABLE outbound (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        account     INTEGER NOT NULL,
        peer        TEXT NOT NULL,
        idem_key    TEXT UNIQUE,
        run_id      TEXT,
        state       TEXT NOT NULL,                -- pending, sent, failed, expired, cancelled; from 2 on also unconfirmed
        held        TEXT,                         -- why a pending one was reported as held
        error       TEXT,                         -- why it was not sent
        created_at  INTEGER NOT NULL,
        claimed_by  TEXT,                         -- the process that sends it now
        claimed_until INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX outbound_pending ON outbound (account, peer, id) WHERE state = 'pending';
    CREATE INDEX outbound_age ON outbound (created_at);
    CREATE TABLE outbound_part (
        outbound    INTEGER NOT NULL REFERENCES outbound (id) ON DELETE CASCADE,
        n           INTEGER NOT NULL,
        client_id   TEXT NOT NULL,
        text        TEXT NOT NULL,
        media       TEXT,                         -- the file instead of a text: JSON, see src/outbound/media.rs
        state       TEXT NOT NULL,                -- pending, sent; from 2 on also unconfirmed
        counted_for TEXT,                         -- the context token whose quota it was counted against
        message_id  TEXT,
        PRIMARY KEY (outbound, n)
    ) WITHOUT ROWID;

    -- Who polls an account. The lock itself is an OS file lock; this row only says whose it is.
    CREATE TABLE lease (
        account_id  TEXT PRIMARY KEY,
        pid         INTEGER NOT NULL,
        started     INTEGER NOT NULL,             -- the process's start time, in the system's own units
        boot_id     TEXT NOT NULL,                -- and the namespaces in which the numbers mean something
        program     TEXT NOT NULL,                -- its executable
        gateway_pid INTEGER NOT NULL,
        gateway_started INTEGER NOT NULL,         -- 0: unknown
        version     TEXT NOT NULL,
        at          INTEGER NOT NULL,
        wanted_by   INTEGER                       -- the process that asks the owner to yield; 0: it was refused
    ) WITHOUT ROWID;
    ",
    // 1 -> 2: what WeChat really does with what is sent.
    "
    -- Whether what a bot sends is confirmed: sends without an id since the last one with an id.
    ALTER TABLE account ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN unconfirmed_since INTEGER;          -- the first of them
    ALTER TABLE account ADD COLUMN unconfirmed_peer TEXT;              -- its person; '' when there were several
    ALTER TABLE account ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;   -- whether there were too many
    ALTER TABLE account ADD COLUMN confirmed_at INTEGER;
    ALTER TABLE account ADD COLUMN standing_told INTEGER NOT NULL DEFAULT 0; -- what the log and the gateway were told of it

    -- How many messages WeChat allows a bot for each that it gets, where that is fewer than configured. See `learned`.
    ALTER TABLE account ADD COLUMN learned_quota INTEGER;
    ALTER TABLE account ADD COLUMN learned_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN full_windows INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN patience INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN probing INTEGER NOT NULL DEFAULT 0;

    -- When the last poll was answered (to some minutes), and when a refusal to prepare was last answered with a recovery.
    ALTER TABLE account ADD COLUMN poll_answered_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN recovery_at INTEGER NOT NULL DEFAULT 0;

    -- How often a wire message was sent, and when the server took it.
    ALTER TABLE outbound_part ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbound_part ADD COLUMN answered_at INTEGER;

    -- The text that was split, while it waits and its rest may become a file.
    ALTER TABLE outbound ADD COLUMN whole TEXT;
    -- Whether it is worth less than an answer, and never waits.
    ALTER TABLE outbound ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;
    ",
    // 2 -> 3: the hub, which serves several backends.
    "
    -- Whose a message is, and its place among all that were routed; NULL where the hub has not decided yet, or does not run.
    ALTER TABLE inbox ADD COLUMN backend TEXT;
    ALTER TABLE inbox ADD COLUMN routed INTEGER;
    CREATE INDEX inbox_routed ON inbox (backend, routed) WHERE backend IS NOT NULL;
    -- The place that was given last. Not the largest in the inbox: that is gone once it is acked, and a cursor may still name it.
    CREATE TABLE hub_route (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
    INSERT INTO hub_route VALUES (1, 0);

    -- Which backend sent a message: a person's answer to it goes there.
    ALTER TABLE outbound ADD COLUMN backend TEXT;
    CREATE INDEX outbound_part_message ON outbound_part (message_id) WHERE message_id IS NOT NULL;

    -- Who may ask the hub. The token itself is nowhere.
    CREATE TABLE hub_token (
        id          TEXT PRIMARY KEY,
        hash        TEXT NOT NULL UNIQUE,         -- SHA-256, in hex
        backend     TEXT NOT NULL,
        role        TEXT NOT NULL,                -- backend, admin, viewer
        accounts    TEXT,                         -- JSON: ids; NULL: all
        created_at  INTEGER NOT NULL,
        used_at     INTEGER
    ) WITHOUT ROWID;
    -- Which backend a person chose.
    CREATE TABLE hub_choice (
        account     INTEGER NOT NULL,
        peer        TEXT NOT NULL,
        backend     TEXT NOT NULL,
        PRIMARY KEY (account, peer)
    ) WITHOUT ROWID;
    -- Conversations in which a backend was given a message: those it may write to.
    CREATE TABLE hub_served (
        account     INTEGER NOT NULL,
        peer        TEXT NOT NULL,
        backend     TEXT NOT NULL,
        PRIMARY KEY (account, peer, backend)
    ) WITHOUT ROWID;
    -- People who asked for a backend that answers only those who were approved.
    CREATE TABLE hub_access (
        account     INTEGER NOT NULL,
        peer        TEXT NOT NULL,
        backend     TEXT NOT NULL,
        state       TEXT NOT NULL,                -- waiting, approved, denied
        code        TEXT NOT NULL,
        at          INTEGER NOT NULL,
        told_at     INTEGER NOT NULL DEFAULT 0,   -- when the person last got the code
        PRIMARY KEY (account, peer, backend)
    ) WITHOUT ROWID;
    ",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account_id::AccountId;
    use crate::store::{SendState, Store};

    #[tokio::test]
    async fn a_database_of_the_first_version_is_brought_along_with_what_waits_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.sqlite");
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO account (no, account_id, cursor) VALUES (1, 'b', 'c');
             INSERT INTO outbound (id, account, peer, state, created_at) VALUES (1, 1, 'p', 'sent', 5), (2, 1, 'p', 'pending', 6);
             INSERT INTO outbound_part (outbound, n, client_id, text, state) VALUES (1, 0, 'x', 't', 'sent'), (2, 0, 'y', 'u', 'pending');",
        )
        .unwrap();
        drop(old);
        let (store, report) = Store::open(&path).unwrap();
        assert!(report.put_aside.is_none());
        assert_eq!(store.get_or_create_account(&AccountId::normalize("b")).await.unwrap().cursor, "c");
        assert_eq!(store.find_send(1).await.unwrap().unwrap().state, SendState::Sent);
        let waiting = store.waiting_sends(None, None).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].parts[0].client_id.as_str()), (1, "y"));
        store.close().await;
        // Once is enough.
        let (store, _) = Store::open(&path).unwrap();
        assert_eq!(store.waiting_sends(None, None).await.unwrap().len(), 1);
    }
}
