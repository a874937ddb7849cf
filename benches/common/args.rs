//! The few options of a benchmark. Cargo adds `--bench`, which means nothing here.

use std::path::PathBuf;
use std::str::FromStr;

/// Whether an option is there.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

/// The value behind an option, or the default.
pub fn value<T: FromStr>(name: &str, default: T) -> T {
    let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
    match args.next() {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} {text}: not a value")),
        None => default,
    }
}

/// The sidecar that is measured: Cargo's release build, or another one with `--binary PATH`.
pub fn binary() -> PathBuf {
    value("--binary", PathBuf::from(env!("CARGO_BIN_EXE_openclaw-weixin-sidecar")))
}
