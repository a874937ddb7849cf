//! What the fuzz targets were given once, and must go on passing: every seed and every input that found something, replayed
//! on each test run without instrumentation. `make fuzz` looks for new ones.

use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod fuzz_targets;

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
    let mut broken = Vec::new();
    for (target, check) in fuzz_targets::TARGETS {
        for input in inputs(target) {
            let bytes = std::fs::read(&input).unwrap();
            if std::panic::catch_unwind(|| check(&bytes)).is_err() {
                broken.push(input);
            }
        }
    }
    assert!(broken.is_empty(), "broken by {broken:#?}");
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
    for file in fuzz.join("fuzz_targets").read_dir().unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(
            names.contains(&name.trim_end_matches(".rs")),
            "fuzz/fuzz_targets/{name} is not in TARGETS, and never replayed"
        );
    }
}
