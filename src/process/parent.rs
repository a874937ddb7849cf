//! Noticing that the gateway is gone although its end of the pipe is held open by somebody else.
//!
//! The parent is watched twice over: by a handle that reports its death at once, also where a subreaper adopts this
//! process, and by a look at the parent's number, which needs nothing of the system. A suspended parent is alive to both.
//! `PR_SET_PDEATHSIG` is not used: Linux sends it when the *thread* that started this process ends, not its process.

use std::future::Future;
use std::time::Duration;

use super::identity::{Gateway, Liveness};
use super::protected;
use super::system::{self, Handle};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long its end is waited for before the thread looks whether anybody still wants to know.
const AT_ONCE: Duration = Duration::from_secs(60);

/// Resolves when this process has lost the parent that it has at the call. Never resolves where the system does not
/// tell, or where the parent was gone before.
pub fn parent_gone() -> impl Future<Output = ()> + Send {
    let parent = system::parent_pid();
    // If the parent is the same behind the opening as before it, the handle is the parent's: a number is not given again
    // while its process lives.
    let handle = if parent == 0 { None } else { Handle::open(parent).ok() };
    let handle = handle.filter(|_| system::parent_pid() == parent);
    async move {
        tokio::select! {
            () = ended(handle) => {}
            () = other_parent(parent) => {}
        }
    }
}

/// Resolves when the gateway is gone, where it is an ancestor of this process for certain; else never. The parent may be
/// a shell or a supervisor that does not end with it.
pub fn gateway_gone(gateway: Gateway) -> impl Future<Output = ()> + Send {
    // The parent is watched anyhow.
    let known = gateway.pid > 1 && gateway.started != 0 && gateway.pid != system::parent_pid();
    let handle = if known { Handle::open(gateway.pid).ok() } else { None };
    // Behind the opening: the handle is that of the process that is an ancestor and has this start time.
    let handle = handle.filter(|_| protected::is_ancestor(gateway.pid) && gateway.standing() == Liveness::Lives);
    ended(handle)
}

/// Resolves at the end of a process, which a thread of its own waits for; never, where there is none.
async fn ended(handle: Option<Handle>) {
    let Some(handle) = handle else { return std::future::pending().await };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let waiting = move || {
        while !sender.is_closed() {
            if handle.wait(AT_ONCE) {
                let _ = sender.send(());
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("parent".to_owned()).stack_size(64 * 1024).spawn(waiting);
    if started.is_err() || receiver.await.is_err() {
        // The look at the parent's number remains.
        std::future::pending().await
    }
}

/// Resolves when the parent is another one. Pid 1 has no successor.
async fn other_parent(parent: u32) {
    if parent == 1 {
        return std::future::pending().await;
    }
    while system::parent_pid() == parent {
        tokio::time::sleep(EVERY).await;
    }
}
