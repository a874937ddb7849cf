//! The borders between the rooms of `docs/architecture.md` that Cargo does not draw.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use openclaw_weixin_sidecar::contract::{METHODS, NOTIFICATIONS};

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
                let code = code_of_file(&path);
                found.push((path, code));
            }
        }
    }
    assert!(!found.is_empty(), "{room}");
    found
}

fn code_of_file(path: &Path) -> String {
    let source = std::fs::read_to_string(path).unwrap();
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(all(test"];
    let end = tests.iter().filter_map(|start| source.find(start)).min().unwrap_or(source.len());
    let lines: Vec<&str> = source[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    lines.join("\n")
}

#[track_caller]
fn none_of(room: &str, words: &[&str]) {
    for (file, code) in code_of(room) {
        for word in words {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

/// What each room uses of the others, and of the crates of this workspace. One line more is a decision, not an accident.
const USES: [(&str, &[&str]); 20] = [
    ("account_id", &[]),
    ("accounts", &["contract", "ilink", "private", "store", "supervise"]),
    (
        "cli",
        &[
            "accounts",
            "contract",
            "events",
            "hub",
            "ilink",
            "ilink_simulator",
            "inbound",
            "plain",
            "private",
            "process",
            "rpc",
            "service",
            "store",
        ],
    ),
    ("contract", &["account_id"]),
    ("events", &["contract"]),
    ("fuzzing", &["ilink", "inbound", "outbound", "rpc"]),
    (
        "hub",
        &[
            "contract",
            "events",
            "ilink",
            "inbound",
            "media",
            "outbound",
            "private",
            "process",
            "rpc",
            "service",
            "store",
            "supervise",
        ],
    ),
    ("inbound", &["accounts", "contract", "events", "ilink", "media", "store", "supervise"]),
    ("lease", &["account_id", "accounts", "private", "process", "store"]),
    ("lib", &[]),
    ("login", &["accounts", "contract", "events", "ilink", "store", "supervise"]),
    ("main", &[]),
    ("media", &["plain", "private", "process", "silk_decoder", "supervise"]),
    ("outbound", &["contract", "ilink", "private", "process", "store", "supervise"]),
    ("plain", &[]),
    ("private", &[]),
    ("process", &[]),
    ("rpc", &["contract", "supervise"]),
    (
        "service",
        &[
            "accounts",
            "contract",
            "events",
            "ilink",
            "inbound",
            "lease",
            "login",
            "media",
            "outbound",
            "private",
            "process",
            "rpc",
            "store",
            "supervise",
        ],
    ),
    ("store", &["account_id", "ilink", "private"]),
];

/// The rooms and crates that code names: `crate::inbound::…`, `ilink::…`.
fn used(code: &str, rooms: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("::") {
        let before = |end: usize| {
            let name = code[..end].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            (name, end - name.len())
        };
        let (name, start) = before(at);
        let is_crate = ["ilink", "ilink_simulator", "silk_decoder"].contains(&name) && !code[..start].ends_with("::");
        if is_crate {
            found.insert(name.to_owned());
        }
        if name == "crate" {
            let next = code[at + 2..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            if rooms.iter().any(|room| room == next) {
                found.insert(next.to_owned());
            }
        }
    }
    found
}

#[test]
fn each_room_uses_what_it_is_said_to_use() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let rooms: Vec<String> = std::fs::read_dir(&src).unwrap().map(name).collect();
    let mut wrong = Vec::new();
    for room in &rooms {
        let one_file = src.join(format!("{room}.rs"));
        let code = match one_file.is_file() {
            true => code_of_file(&one_file),
            false => code_of(&format!("src/{room}")).into_iter().map(|(_, code)| code).collect(),
        };
        let mut uses = used(&code, &rooms);
        uses.remove(room);
        let said = USES.iter().find(|(name, _)| name == room);
        let said: BTreeSet<String> =
            said.map(|(_, said)| said.iter().map(ToString::to_string).collect()).unwrap_or_default();
        if uses != said {
            wrong.push(format!("src/{room} uses {uses:?}, and is said to use {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn framing_knows_no_method_but_the_first_and_the_last_and_no_notification() {
    let names =
        METHODS.iter().map(|method| method.name).chain(NOTIFICATIONS.iter().map(|notification| notification.name));
    let names: Vec<String> =
        names.filter(|name| !["initialize", "shutdown"].contains(name)).map(|name| format!("\"{name}\"")).collect();
    assert!(names.len() > 20, "{names:?}");
    none_of("src/rpc", &names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_client_and_the_decoder_know_neither_gateway_nor_database() {
    for crate_ in ["crates/ilink/src", "crates/silk-decoder/src"] {
        none_of(crate_, &["rusqlite", "jsonrpsee", "openclaw_weixin", "std::env", "stdin", "stdout"]);
    }
}
