//! The commands for people, run to their end.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::DEADLINE;

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Its stdout, which is one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same command, after a check of its exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A command on a state directory and a host, with nothing inherited but what [`clean`] leaves.
pub fn command(state: &Path, url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(super::binary());
    super::clean(command.args(args));
    command.env("HOME", state).env("OPENCLAW_STATE_DIR", state).env("LANG", "C.UTF-8");
    command.env("WEIXIN_ILINK_BASE_URL", url).env("WEIXIN_CDN_BASE_URL", format!("{url}/c2c"));
    command
}

/// Runs a command on a state directory and a host, with `stdin` to read, until it ends.
#[track_caller]
pub fn run(state: &Path, url: &str, args: &[&str], stdin: &str) -> Ran {
    run_to_end(command(state, url, args), stdin)
}

/// Runs any command with `stdin` to read, until it ends.
#[track_caller]
pub fn run_to_end(mut command: Command, stdin: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // A command that does not read its stdin is none the worse.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let output = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let (stdout, stderr) = (output.join().unwrap().unwrap(), errors.join().unwrap().unwrap());
    Ran { code: status.code().expect("it was not killed"), stdout, stderr }
}
