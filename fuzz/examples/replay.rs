//! Runs a target on every file of the directories that are named: `replay TARGET DIRECTORY…`. For systems on which nothing
//! can be instrumented, and for stepping through a finding in a debugger.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((_, check)) = openclaw_weixin_fuzz::TARGETS.iter().find(|(target, _)| *target == name) else {
        eprintln!("usage: replay TARGET DIRECTORY…");
        return ExitCode::FAILURE;
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for argument in arguments.map(PathBuf::from) {
        match std::fs::read_dir(&argument) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(argument),
        }
    }
    for file in &files {
        eprintln!("{}", file.display());
        match std::fs::read(file) {
            Ok(bytes) => check(&bytes),
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} inputs", files.len());
    if files.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
