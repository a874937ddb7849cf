//! What the system says about the sidecar, again and again: into a CSV, and into the figures at the end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::memory;

/// One look at the process and at its directory.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Which process of the soak, from 1.
    pub life: u32,
    pub open_files: u64,
    pub threads: u64,
    pub rss: u64,
    pub anonymous: u64,
    /// In seconds, of this life.
    pub cpu: f64,
    pub database: u64,
    pub log: u64,
    pub directory: u64,
    pub files: u64,
}

/// How far the work is, beside what it costs.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    pub written: usize,
    pub taken: usize,
    pub answered: usize,
}

pub struct Metrics {
    began: Instant,
    every: Duration,
    next: Instant,
    csv: File,
    pub samples: Vec<Sample>,
}

impl Metrics {
    pub fn new(csv: &Path, every: Duration) -> Metrics {
        let mut file = File::create(csv).unwrap();
        writeln!(
            file,
            "seconds,life,pid,open_files,threads,rss_kib,anonymous_kib,file_kib,cpu_seconds,database_bytes,wal_bytes,\
             state_bytes,state_files,written,taken,answered"
        )
        .unwrap();
        let now = Instant::now();
        Metrics { began: now, every, next: now, csv: file, samples: Vec::new() }
    }

    /// Takes a sample if it is time.
    pub fn look(&mut self, life: u32, pid: u32, state: &Path, progress: Progress) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + self.every;
        let channel = state.join("openclaw-weixin");
        let size = |name: &str| fs::metadata(channel.join(name)).map_or(0, |file| file.len());
        let (directory, files) = measure(&channel);
        let sample = Sample {
            at: self.began.elapsed(),
            life,
            open_files: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |dir| dir.count() as u64),
            threads: fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |dir| dir.count() as u64),
            rss: memory(pid, "VmRSS"),
            anonymous: memory(pid, "RssAnon"),
            cpu: cpu_seconds(pid),
            database: size("sidecar.sqlite"),
            log: size("sidecar.sqlite-wal"),
            directory,
            files,
        };
        let Sample { at, open_files, threads, rss, anonymous, cpu, database, log, .. } = sample;
        let Progress { written, taken, answered } = progress;
        let (kib, anonymous_kib, file_kib) = (rss / 1024, anonymous / 1024, (rss - anonymous.min(rss)) / 1024);
        writeln!(
            self.csv,
            "{:.1},{life},{pid},{open_files},{threads},{kib},{anonymous_kib},{file_kib},{cpu:.2},{database},{log},\
             {directory},{files},{written},{taken},{answered}",
            at.as_secs_f64()
        )
        .unwrap();
        self.samples.push(sample);
    }
}

/// Bytes and files below a directory; what goes meanwhile does not count.
fn measure(dir: &Path) -> (u64, u64) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.fold((0, 0), |(bytes, files), entry| match entry.metadata() {
        Ok(about) if about.is_dir() => {
            let inside = measure(&entry.path());
            (bytes + inside.0, files + inside.1)
        }
        Ok(about) => (bytes + about.len(), files + 1),
        Err(_) => (bytes, files),
    })
}

/// The age of the oldest file below a directory. The spool does not count: what a killed process left there stays a day.
pub fn oldest(dir: &Path) -> Duration {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let ages = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => oldest(&entry.path()),
        Ok(about) => about.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default(),
        Err(_) => Duration::ZERO,
    });
    ages.max().unwrap_or_default()
}

/// Processor time so far; `USER_HZ` is 100 wherever Linux runs.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    behind.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
