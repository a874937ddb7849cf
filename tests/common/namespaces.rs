//! A pid namespace with a gateway as pid 1, as in a container, and gateways that join it.
//!
//! Network and files stay those of the test: the simulator and the state directory are reached from inside.

use std::process::{Command, Stdio};

use super::gateways::{SHELL, Served, children};
use super::{Launch, eventually};

/// What the processes of the namespace see under `/proc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proc {
    /// Each other.
    Own,
    /// Those that they may trace. Between a sidecar and its gateway there is a shell that has more rights than it.
    Hidden,
    /// Nothing.
    Empty,
    /// The processes of the namespace above, by other numbers.
    Foreign,
}

impl Proc {
    fn mount(self) -> &'static str {
        match self {
            Proc::Own => "mount -t proc proc /proc",
            Proc::Hidden => "mount -t proc -o hidepid=2 proc /proc",
            Proc::Empty => "mount -t tmpfs none /proc",
            Proc::Foreign => "true",
        }
    }
}

/// Pid 1 mounts what it is told to, starts the rest and waits.
const INIT: &str = r#"eval "$MOUNT" || exit 97; exec 3<&0; "$@" <&3 3<&- & wait"#;
/// Starts the rest without the rights that it has itself. Group 0 sees everything in spite of `hidepid`.
const STRONGER: &str = r#"exec 3<&0; setpriv $GROUP --bounding-set=-all --inh-caps=-all "$@" <&3 3<&- & wait"#;

/// How to make such namespaces here.
#[derive(Clone, Copy)]
pub struct Namespaces {
    proc: Proc,
    /// As a user in a user namespace, or as root without one.
    unshare: &'static str,
    /// The options of `nsenter`.
    enter: &'static [&'static str],
    group: &'static str,
}

impl Namespaces {
    /// Finds out whether this system allows it; `Err` says why not.
    pub fn allowed(proc: Proc) -> Result<Namespaces, String> {
        let as_root = ("-pfm", &["-p", "-m"][..], "--regid=65534 --clear-groups");
        let as_user = ("-Urpfm", &["-U", "-p", "-m", "--preserve-credentials"][..], "");
        let mut why = String::new();
        for (unshare, enter, group) in [as_root, as_user] {
            let script = format!("{} && setpriv {group} --bounding-set=-all --inh-caps=-all true", proc.mount());
            let tried = Command::new("unshare").args([unshare, "sh", "-c", &script]).stdin(Stdio::null()).output();
            let can_enter = Command::new("nsenter").arg("--version").output();
            match (tried, can_enter) {
                (Ok(tried), Ok(_)) if tried.status.success() => return Ok(Namespaces { proc, unshare, enter, group }),
                (Ok(tried), Ok(_)) => why = format!("unshare: {}", String::from_utf8_lossy(&tried.stderr).trim()),
                (Err(error), _) | (_, Err(error)) => why = error.to_string(),
            }
        }
        Err(why)
    }

    /// Starts a gateway as pid 1 with its sidecar.
    #[track_caller]
    pub fn start(self, launch: Launch) -> Container {
        let mut line = vec!["unshare", self.unshare, "--kill-child", "sh", "-c", INIT, "gateway"];
        if self.proc == Proc::Hidden {
            line.extend(["sh", "-c", STRONGER, "gateway"]);
        }
        let served = Served::behind(launch.env("MOUNT", self.proc.mount()).env("GROUP", self.group), line);
        let init = children(served.gateway.pid())[0];
        Container { namespaces: self, served, init }
    }
}

/// A gateway as pid 1 with its sidecar.
pub struct Container {
    namespaces: Namespaces,
    /// The sidecar. Its gateway is `unshare` to the test, and dies with pid 1.
    pub served: Served,
    /// Pid 1, by its number outside.
    pub init: u32,
}

impl Container {
    /// A second gateway in it, a shell, with a sidecar of its own.
    #[track_caller]
    pub fn join(&self, launch: Launch) -> Joined {
        let target = self.init.to_string();
        let mut line = vec!["nsenter", "-t", &target];
        line.extend(self.namespaces.enter);
        match self.namespaces.proc {
            Proc::Hidden => line.extend(["sh", "-c", STRONGER, "gateway"]),
            _ => line.extend(SHELL),
        }
        let served = Served::behind(launch.env("GROUP", self.namespaces.group), line);
        // `nsenter` waits for its child, which is the shell.
        let shell = eventually("the shell", || children(served.gateway.pid()).first().copied());
        Joined { served, shell }
    }
}

/// A second gateway in a container, with its sidecar.
pub struct Joined {
    /// The sidecar. Its gateway is `nsenter` to the test, and ends with the shell.
    pub served: Served,
    /// The shell that is the gateway, by its number outside.
    pub shell: u32,
}
