//! What Linux tells about a process. Elsewhere there is nothing to read, and nothing is reported.

use std::fs;

/// `USER_HZ`, which is 100 wherever Linux runs.
const TICKS: f64 = 100.0;

/// Processor time of a process so far, in user and kernel mode.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields 14 and 15 in clock ticks; the name in parentheses is the second one.
    let behind = stat.rsplit_once(')')?.1;
    let mut fields = behind.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((fields.next()?.ok()? + fields.next()?.ok()?) / TICKS)
}

/// Resident memory in MiB.
pub struct Memory {
    /// All of it.
    pub rss: f64,
    /// What is not the program file and its libraries.
    pub anonymous: f64,
    /// The highest that `rss` ever was.
    pub peak: f64,
}

impl Memory {
    /// The memory of a process.
    pub fn of(pid: u32) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib / 1024.0)
        };
        Some(Memory { rss: field("VmRSS")?, anonymous: field("RssAnon")?, peak: field("VmHWM")? })
    }
}
