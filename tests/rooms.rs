//! The borders between the rooms of `docs/architecture.md` that Cargo does not draw.

use std::path::{Path, PathBuf};

/// The code of a room, file by file, without comments and without tests.
fn code_of(room: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(room)];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
                let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                found.push((path, lines.join("\n")));
            }
        }
    }
    assert!(!found.is_empty(), "{room}");
    found
}

#[track_caller]
fn none_of(room: &str, words: &[&str]) {
    for (file, code) in code_of(room) {
        for word in words {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

#[test]
fn what_is_on_disk_has_names_of_its_own() {
    none_of("src/store", &["contract"]);
}

#[test]
fn framing_knows_no_method_and_no_notification() {
    none_of("src/rpc", &["\"inbound.", "\"outbound.", "\"account.", "\"accounts.", "\"login.", "\"config."]);
}

#[test]
fn the_client_and_the_decoder_know_neither_gateway_nor_database() {
    for crate_ in ["crates/ilink/src", "crates/silk-decoder/src"] {
        none_of(crate_, &["rusqlite", "jsonrpsee", "openclaw_weixin", "std::env", "stdin", "stdout"]);
    }
}
