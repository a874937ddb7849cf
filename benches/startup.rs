//! From spawn to the answer of `initialize`, with a fresh state directory and with one that was used before.
//!
//! The floor is the same binary spawned with `--version`, until it has exited.
//!
//! Options: `--runs N` (50), `--binary PATH`, `--json`.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Aim, Gateway, Report, Samples};

/// Where nothing listens; nothing is asked there either.
const NOWHERE: &str = "http://127.0.0.1:9";

fn main() {
    let runs: usize = common::value("--runs", 50);
    let dir = tempfile::tempdir().unwrap();
    let used = dir.path().join("used");
    common::write_accounts(&used, 3);
    start(&used);
    let [mut fresh, mut again, mut version] = [(); 3].map(|()| Samples::default());
    for run in 0..runs {
        version.add(print_version());
        fresh.add(start(&dir.path().join(run.to_string())));
        again.add(start(&used));
    }
    let mut report = Report::new(format!("startup: spawn to the answer of initialize ({runs} runs)"));
    for (name, samples) in [("fresh state directory", &fresh), ("existing state directory", &again)] {
        for (part, percent) in [("p50", 50.0), ("p95", 95.0)] {
            let aim = Some(Aim::AtMost(15.0));
            let floor = ("--version", version.percentile(percent));
            report.figure(&format!("{name}, {part}"), "ms", samples.percentile(percent), aim, floor);
        }
        report.note("smallest", "ms", samples.min());
    }
    report.print();
}

fn start(state: &std::path::Path) -> Duration {
    let began = Instant::now();
    let mut gateway = Gateway::spawn(NOWHERE);
    let answer = gateway.initialize(state);
    let took = began.elapsed();
    assert!(answer.contains("\"result\""), "{answer}");
    gateway.stop();
    took
}

fn print_version() -> Duration {
    let began = Instant::now();
    let status = Command::new(common::binary()).arg("--version").stdout(Stdio::null()).status().unwrap();
    let took = began.elapsed();
    assert!(status.success());
    took
}
