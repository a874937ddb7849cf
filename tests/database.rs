//! Nothing that was committed is lost, whoever else opens the database.

mod common;

use common::{World, text};
use rusqlite::{Connection, OpenFlags};

const ANN: &str = "ann@im.wechat";

/// The POSIX locks that a process has on the database and its shared memory.
#[cfg(target_os = "linux")]
fn locks(world: &World, pid: u32) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    let inode = |ending: &str| {
        let path = format!("{}{ending}", world.state.database().display());
        std::fs::metadata(path).map(|about| about.ino().to_string()).unwrap_or_default()
    };
    let inodes = [inode(""), inode("-shm")];
    let all = std::fs::read_to_string("/proc/locks").unwrap();
    all.lines()
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let of_inode = fields.get(5).and_then(|place| place.rsplit(':').next());
            fields.get(4) == Some(&pid.to_string().as_str())
                && of_inode.is_some_and(|inode| inodes.iter().any(|i| i == inode))
        })
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn its_locks_hold_at_every_start() {
    let world = World::new();
    for start in 1..=3 {
        let sidecar = world.sidecar();
        assert!(locks(&world, sidecar.pid()) > 0, "start {start}: any process may now remove the log under it");
        sidecar.kill();
    }
}

#[test]
fn another_program_that_opens_reads_and_closes_the_database_costs_no_commit() {
    let world = World::new();
    drop(world.sidecar());
    let (sidecar, bot) = world.polling();
    for n in 0..5 {
        world.writes(&bot, ANN, &format!("m{n}"));
        sidecar.until_received(&bot, n + 1);
        // As `sqlite3 sidecar.sqlite .dump` does. The last one to close a database would fold its log back and remove it.
        let outside = Connection::open_with_flags(world.state.database(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        let count: i64 = outside.query_row("SELECT COUNT(*) FROM inbox", [], |row| row.get(0)).unwrap();
        assert_eq!(count, n as i64 + 1);
        outside.close().unwrap();
        let wal = world.state.database().with_extension("sqlite-wal");
        assert!(wal.exists(), "the log is gone although the sidecar writes to it");
    }
    sidecar.kill();
    let sidecar = world.sidecar();
    sidecar.start_account(&bot);
    let mut came = Vec::new();
    while came.len() < 5 {
        came = sidecar.deliveries(came.len() + 1);
        sidecar.ack(came.last());
    }
    let texts: Vec<&str> = came.iter().map(|message| text(message, "text")).collect();
    assert_eq!(texts, ["m0", "m1", "m2", "m3", "m4"]);
}
