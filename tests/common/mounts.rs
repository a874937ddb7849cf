//! Read-only and full disks: the child gets a mount namespace of its own, so that nothing is mounted for anybody else
//! and nothing is left behind.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mounts `$1` at `$2` with the options `$3`, a directory onto itself where `$1` is `bind`, and becomes the rest.
const SCRIPT: &str = r#"
case "$1" in
  bind) mount --bind "$2" "$2" && mount -o "remount,bind,$3" "$2" ;;
  *) mount -t tmpfs -o "$3" none "$2" ;;
esac || exit 97
shift 3
exec "$@"
"#;

/// How to get a mount namespace here.
pub struct OwnMounts {
    unshare: &'static str,
}

impl OwnMounts {
    /// Finds out whether this system allows it; `Err` says why not.
    pub fn allowed() -> Result<OwnMounts, String> {
        let mut why = String::new();
        let dir = tempfile::tempdir().unwrap();
        // As a user in a user namespace, or as root without one.
        for unshare in ["-rm", "-m"] {
            let mounts = OwnMounts { unshare };
            let line = mounts.wrapper("tmpfs", dir.path(), "size=64k");
            let tried = Command::new(&line[0]).args(&line[1..]).arg("true").stdin(Stdio::null()).output();
            match tried {
                Ok(output) if output.status.success() => return Ok(mounts),
                Ok(output) => why = format!("unshare {unshare}: {}", String::from_utf8_lossy(&output.stderr).trim()),
                Err(error) => why = format!("unshare: {error}"),
            }
        }
        Err(why)
    }

    /// Starts what follows with `dir` read-only.
    pub fn read_only(&self, dir: &Path) -> Vec<OsString> {
        self.wrapper("bind", dir, "ro")
    }

    /// Starts what follows with a small disk at `dir`.
    pub fn small_disk(&self, dir: &Path, kib: u32) -> Vec<OsString> {
        self.wrapper("tmpfs", dir, &format!("size={kib}k,mode=700"))
    }

    fn wrapper(&self, what: &str, dir: &Path, options: &str) -> Vec<OsString> {
        let mut line: Vec<OsString> = ["unshare", self.unshare, "sh", "-c", SCRIPT, "sh", what].map(Into::into).into();
        line.extend([dir.as_os_str().to_owned(), options.into()]);
        line
    }

    /// A path as the process sees it, to be used from here.
    pub fn inside(pid: u32, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap())
    }
}

/// Says that a test was skipped, and why: past the test runner, which would keep it to itself.
pub fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\nskipped: {test}: {why}");
}
