//! No other program that opens the database can take the log from under the sidecar. (SQLite's last one out folds the log back
//! and removes it; whether it is the last, it learns from the locks.)
#![cfg(target_os = "linux")]

mod common;

use common::World;

/// Whether a process has a POSIX lock on the main file of the database. SQLite's locks on the shared memory are another file's, and stay when
/// this one is lost.
fn locks_the_database(world: &World, pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let inode = std::fs::metadata(world.state.database()).unwrap().ino().to_string();
    let all = std::fs::read_to_string("/proc/locks").unwrap();
    all.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let of_inode = fields.get(5).and_then(|place| place.rsplit(':').next());
        fields.get(4) == Some(&pid.to_string().as_str()) && of_inode == Some(inode.as_str())
    })
}

#[test]
fn its_locks_hold_at_every_start() {
    let world = World::new();
    for start in 1..=3 {
        let sidecar = world.sidecar();
        assert!(
            locks_the_database(&world, sidecar.pid()),
            "start {start}: any process may now remove the log under it"
        );
        sidecar.kill();
    }
}
