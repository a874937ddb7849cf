//! What the fuzz targets were given once, and must go on passing: every seed and every input that found something, replayed
//! on each test run without instrumentation. `make fuzz` looks for new ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../fuzz/src/lib.rs"]
mod fuzz_targets;

/// As much as a main thread has.
const STACK: usize = 8 * 1024 * 1024;
/// Nothing takes a second; machines are slow.
const HANGS: Duration = Duration::from_secs(60);

/// All files that were kept for the target. No target is without.
fn inputs(target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let kept = ["seeds", "regressions"].map(|kind| fuzz.join(kind).join(target));
    let files: Vec<PathBuf> =
        kept.iter().filter_map(|dir| dir.read_dir().ok()).flatten().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "fuzz/seeds/{target} is empty");
    files
}

#[test]
fn every_target_passes_what_was_kept_for_it() {
    for (target, check) in fuzz_targets::TARGETS {
        for input in inputs(target) {
            // Where one ends the whole process, this is the last line.
            eprintln!("{}", input.display());
            let bytes = std::fs::read(&input).unwrap();
            let checked = std::thread::Builder::new().stack_size(STACK).spawn(move || check(&bytes)).unwrap();
            let began = Instant::now();
            while !checked.is_finished() {
                assert!(began.elapsed() < HANGS, "{} hangs", input.display());
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(checked.join().is_ok(), "broken by {}", input.display());
        }
    }
}

#[test]
fn what_is_kept_belongs_to_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names: Vec<&str> = fuzz_targets::TARGETS.iter().map(|(name, _)| *name).collect();
    for kind in ["seeds", "regressions"] {
        for dir in fuzz.join(kind).read_dir().unwrap() {
            let name = dir.unwrap().file_name().into_string().unwrap();
            assert!(names.contains(&name.as_str()), "fuzz/{kind}/{name} belongs to no target");
        }
    }
    let files =
        fuzz.join("fuzz_targets").read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let fuzzed: BTreeSet<String> = files.map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    let replayed: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(fuzzed, replayed, "what is fuzzed (fuzz/fuzz_targets/), and what is replayed (TARGETS)");
}
