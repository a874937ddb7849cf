//! The sidecar cannot kill its parent, and does not outlive it.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::gateways::{
    Named, SHELL, Served, ancestry, descendants, locked, name_in_lease, program, runs, stale, start_time, state,
};
use common::namespaces::{Container, Joined, Namespaces, Proc};
use common::{Bot, EXIT, Launch, Random, World, eventually, pid, skip, text, until};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

/// How soon a sidecar is gone after its gateway.
const SOON: Duration = Duration::from_secs(2);

fn account(bot: &Bot) -> Value {
    json!({ "accountId": bot.account })
}

// The source

/// Every way to signal or start a process that the standard library, the system crates or the runtime offer.
const DANGEROUS: [&str; 20] = [
    "kill(",
    "kill_",
    "tgkill",
    "Signal::",
    "pidfd_send_signal",
    "TerminateProcess",
    "TerminateJobObject",
    "process::Command",
    "Command::new",
    "tokio::process",
    "posix_spawn",
    "fork(",
    "exec(",
    "execv",
    "CommandExt",
    "libc::",
    "windows_sys",
    "rustix::process",
    "asm!",
    "extern \"",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => sources(&path, found),
            path if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            _ => {}
        }
    }
}

/// The part of a file that is compiled into the program. Tests stand at its end, in a module of their own.
fn without_tests(source: &str) -> &str {
    let tests = ["#[cfg(test)]\nmod tests {", "#[cfg(all(test, target_os = \"linux\"))]\nmod tests {"];
    let Some(at) = tests.iter().filter_map(|start| source.find(start)).min() else { return source };
    let end = source[at..].find("\n}\n").map(|end| at + end + 3);
    assert_eq!(end, Some(source.len()), "tests are the last thing in a file");
    &source[..at]
}

#[test]
fn only_the_process_room_can_signal_anybody_and_nothing_starts_a_process() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    sources(&package.join("crates"), &mut files);
    assert!(files.len() > 80, "{}", files.len());
    let mut senders = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).or(file.strip_prefix(package)).unwrap().to_str().unwrap().to_owned();
        let source = std::fs::read_to_string(&file).unwrap();
        let code = without_tests(&source);
        let room = ["process/linux.rs", "process/macos.rs", "process/windows.rs", "process/other.rs"];
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in DANGEROUS.iter().filter(|word| line.contains(**word)) {
                // Its own system calls, and what sends a stale owner its signal by way of them.
                let of_room = room.contains(&name.as_str()) && !word.contains("ommand") && *word != "fork(";
                let of_takeover = name == "process/takeover.rs" && line.contains("Handle::kill");
                // Signals that are received.
                let received = name == "cli/serve.rs" && line.contains("tokio::signal");
                assert!(of_room || of_takeover || received, "{name}: {word} in: {}", line.trim());
            }
        }
        if code.contains("Handle::terminate") || code.contains("Handle::kill") || code.contains(".terminate()") {
            senders.push(name);
        }
    }
    assert_eq!(senders, ["process/takeover.rs"], "one place sends signals, behind one decision");
}

// Who survives

/// Starts the account whose row names `victim`: it is refused at once, without a word to the victim; returns the text.
#[track_caller]
fn refused(world: &World, launch: Launch, bot: &Bot, victim: u32) -> String {
    let sidecar = launch.start();
    let asked = Instant::now();
    let error = sidecar.refused("account.start", account(bot));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(runs(victim), "{victim}");
    assert_eq!(world.state.count("SELECT count(*) FROM lease WHERE wanted_by > 0"), 0);
    sidecar.stop_account(bot);
    sidecar.close_stdin();
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
    assert!(runs(victim), "{victim}");
    locked(&error).to_owned()
}

#[test]
fn the_whole_ancestry_survives_a_row_that_names_it() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    let line = ancestry(std::process::id());
    assert!(line.len() > 2 && line.ends_with(&[1]) || line.len() > 1, "{line:?}");
    for victim in line.iter().copied().filter(|pid| std::fs::metadata(format!("/proc/{pid}/exe")).is_ok()) {
        name_in_lease(&world.state, &bot.account, victim);
        let why = refused(&world, world.launch(), &bot, victim);
        assert!(why.contains("this gateway's own processes"), "{victim}: {why}");
    }
    assert!(line.iter().all(|pid| runs(*pid)) && runs(stale.pid));
}

#[test]
fn a_parent_that_holds_the_lock_itself_survives() {
    let world = World::new();
    let bot = world.bot();
    let locks = world.state.channel().join("locks");
    std::fs::create_dir_all(&locks).unwrap();
    let path = locks.join(format!("{}.lock", bot.account));
    let held: File = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
    held.lock().unwrap();
    drop(world.sidecar());
    let me = std::process::id();
    world
        .state
        .sql()
        .execute(
            "INSERT INTO lease (account_id, pid, started, boot_id, program, gateway_pid, gateway_started, version, at)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, 1, '0', 0)",
            rusqlite::params![bot.account, me, start_time(me), boot_id(), program(me)],
        )
        .unwrap();
    let why = refused(&world, world.launch(), &bot, me);
    assert!(why.contains("this gateway's own processes"), "{why}");
}

/// As the sidecar writes it down.
fn boot_id() -> String {
    openclaw_weixin_sidecar::process::this_process().boot_id
}

#[test]
fn a_process_named_openclaw_gateway_and_whoever_has_a_reused_pid_survive() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    let gateway = Named::sleeps(world.state.path(), "openclaw-gateway");
    name_in_lease(&world.state, &bot.account, gateway.pid());
    let why = refused(&world, world.launch(), &bot, gateway.pid());
    assert!(why.contains("copy of this program"), "{why}");
    // Even one that is called as this program is: it does not hold the lock.
    let namesake = Named::sleeps(world.state.path(), "openclaw-weixin-sidecar");
    name_in_lease(&world.state, &bot.account, namesake.pid());
    let why = refused(&world, world.launch(), &bot, namesake.pid());
    assert!(why.contains("holds the lock"), "{why}");
    // A number that was given to another process since.
    for victim in [gateway.pid(), namesake.pid(), std::process::id(), 1] {
        let sql = "UPDATE lease SET pid = ?1, started = 1, gateway_pid = ?1, gateway_started = 1";
        world.state.sql().execute(sql, [victim]).unwrap();
        let why = refused(&world, world.launch(), &bot, victim);
        assert!(why.contains("is gone, and another one holds the lock"), "{why}");
    }
    assert!(runs(stale.pid));
}

#[test]
fn a_row_of_another_boot_or_container_ends_nobody() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    for sql in ["UPDATE lease SET boot_id = 'another'", "UPDATE lease SET boot_id = ''"] {
        world.state.sql().execute(sql, []).unwrap();
        let why = refused(&world, world.launch(), &bot, stale.pid);
        assert!(why.contains("container"), "{why}");
    }
}

#[test]
fn the_gateways_service_and_those_above_it_survive_a_sidecar_that_was_re_parented() {
    let world = World::new();
    let (stale, bot) = stale(&world);
    // The service, a gateway below it, and a sidecar whose parent has ended before it began.
    let service = Served::behind(Launch::new(world.state.path(), world.url()), BETWEEN);
    let below = descendants(service.gateway.pid())[0];
    assert!(ancestry(below).contains(&service.gateway.pid()) && below != service.pid);
    let wait = "while read -r _ _ _ parent _ </proc/self/stat && [ $parent = $$ ]; do :; done";
    let orphaned = format!("exec 3<&0; ({wait}; exec \"$@\") <&3 &");
    for (told, expected) in [(Some(below), "this gateway's own processes"), (None, "copy of this program")] {
        for victim in [below, service.gateway.pid()] {
            name_in_lease(&world.state, &bot.account, victim);
            let mut launch = world.launch().behind(["sh", "-c", &orphaned, "sh"]);
            if let Some(told) = told {
                launch = launch.env("OPENCLAW_GATEWAY_SERVICE_PID", &told.to_string());
            }
            let sidecar = launch.start();
            let why = sidecar.refused("account.start", account(&bot));
            assert!(locked(&why).contains(expected), "{why}");
            assert!(runs(victim));
            sidecar.call("shutdown", json!({}));
        }
    }
    // One that says nothing: anybody may belong to it, also the stale one.
    world
        .state
        .sql()
        .execute(
            "UPDATE lease SET pid = ?1, started = ?2, program = ?3",
            rusqlite::params![stale.pid, start_time(stale.pid), program(stale.pid)],
        )
        .unwrap();
    let unclear = world.launch().env("OPENCLAW_GATEWAY_SERVICE_PID", "the service");
    let why = refused(&world, unclear, &bot, stale.pid);
    assert!(why.contains("not certain that it does not belong"), "{why}");
}

// In a container

/// A container with a gateway as pid 1, and in it a second gateway with a sidecar that polls an account.
fn container(test: &str, proc: Proc, world: &World) -> Option<(Container, Joined, Bot)> {
    let namespaces = Namespaces::allowed(proc).map_err(|why| skip(test, &why)).ok()?;
    let bot = world.bot();
    let container = namespaces.start(world.launch());
    let joined = container.join(world.launch());
    joined.served.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    Some((container, joined, bot))
}

/// Makes the sidecar of the second gateway a stale one.
#[track_caller]
fn make_stale(joined: &Joined) {
    joined.served.signal(Signal::STOP);
    until("the suspension", || state(joined.served.pid) == Some('T'));
    kill_process(pid(joined.shell), Signal::KILL).unwrap();
    joined.served.gateway.exit(EXIT);
}

/// The first gateway's sidecar refuses, and everybody lives.
#[track_caller]
fn left_alone(container: &Container, joined: &Joined, bot: &Bot, why: &str) {
    let error = container.served.gateway.refused("account.start", account(bot));
    assert!(locked(&error).contains(why), "{error}");
    for pid in [container.init, joined.served.pid, container.served.pid] {
        assert!(runs(pid), "{pid}");
    }
}

#[test]
fn where_the_gateway_is_pid_1_it_survives_and_a_stale_sidecar_is_ended() {
    let world = World::new();
    let test = "where_the_gateway_is_pid_1_it_survives_and_a_stale_sidecar_is_ended";
    let Some((container, joined, bot)) = container(test, Proc::Own, &world) else { return };
    left_alone(&container, &joined, &bot, "stop that gateway");
    make_stale(&joined);
    let own = world.state.sql().query_row("SELECT pid, started, program FROM lease", [], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    });
    let (own_pid, own_start, own_program) = own.unwrap();
    assert_ne!(own_pid, joined.served.pid, "it has a number of its own in there");
    // Pid 1, by its number inside, with everything else as it is.
    let sql = "UPDATE lease SET pid = 1, started = ?1, program = ?2";
    let (start, exe) = (start_time(container.init), program(container.init));
    world.state.sql().execute(sql, rusqlite::params![start, exe]).unwrap();
    left_alone(&container, &joined, &bot, "this gateway's own processes");
    let sql = "UPDATE lease SET pid = ?1, started = ?2, program = ?3";
    world.state.sql().execute(sql, rusqlite::params![own_pid, own_start, own_program]).unwrap();
    container.served.gateway.start_account(&bot);
    assert!(!runs(joined.served.pid) && runs(container.init));
    world.writes(&bot, "ann@im.wechat", "hello");
    assert_eq!(container.served.gateway.deliveries(1).len(), 1);
    assert_eq!(world.report(&bot).max_active_polls, 1);
}

#[test]
fn a_sidecar_outside_the_container_ends_nobody_inside() {
    let world = World::new();
    let test = "a_sidecar_outside_the_container_ends_nobody_inside";
    let Some((container, joined, bot)) = container(test, Proc::Own, &world) else { return };
    make_stale(&joined);
    // The numbers of the row are other processes' out here.
    let why = refused(&world, world.launch(), &bot, joined.served.pid);
    assert!(why.contains("container"), "{why}");
    assert!(runs(container.init) && runs(joined.served.pid));
}

#[test]
fn with_hidepid_whoever_cannot_be_seen_counts_as_an_ancestor() {
    let world = World::new();
    let test = "with_hidepid_whoever_cannot_be_seen_counts_as_an_ancestor";
    let Some((container, joined, bot)) = container(test, Proc::Hidden, &world) else { return };
    make_stale(&joined);
    left_alone(&container, &joined, &bot, "not certain that it does not belong to this gateway's own processes");
}

#[test]
fn without_proc_or_with_that_of_another_namespace_nobody_is_ended() {
    let test = "without_proc_or_with_that_of_another_namespace_nobody_is_ended";
    for proc in [Proc::Empty, Proc::Foreign] {
        let world = World::new();
        let Some((container, joined, bot)) = container(test, proc, &world) else { return };
        make_stale(&joined);
        left_alone(&container, &joined, &bot, "another container, namespace or boot");
        // Even a row with everything in it that could be known.
        let sql =
            "UPDATE lease SET boot_id = ?1, pid = 1, started = ?2, program = ?3, gateway_pid = 7, gateway_started = 1";
        let forged = rusqlite::params![boot_id(), start_time(container.init), program(container.init)];
        world.state.sql().execute(sql, forged).unwrap();
        left_alone(&container, &joined, &bot, "another container, namespace or boot");
    }
}

// Death with the gateway

/// A gateway that is killed while the test holds the other end of its sidecar's stdin; returns how long the sidecar lived.
#[track_caller]
fn outlives(world: &World, bot: Option<&Bot>) -> Duration {
    let served = Served::start(world.launch());
    if let Some(bot) = bot {
        served.gateway.start_account(bot);
        world.wait_for_poll(bot);
    }
    served.gateway.kill();
    let killed = Instant::now();
    until("its end", || !runs(served.pid));
    let lived = killed.elapsed();
    // Not before: the pipe was open all the time.
    drop(served.gateway.take_stdin());
    lived
}

#[test]
fn a_hundred_gateways_killed_with_their_pipe_held_open_leave_no_sidecar_behind() {
    let world = World::new();
    let bot = world.bot();
    let mut random = Random::seeded();
    let lived: Vec<Duration> = (0..100).map(|_| outlives(&world, (random.below(2) == 0).then_some(&bot))).collect();
    let longest = lived.iter().max().unwrap();
    println!("longest: {longest:?}");
    assert!(*longest < SOON, "{lived:?}");
    until("the end of all polls", || world.report(&bot).active_polls == 0);
    let report = world.report(&bot);
    assert_eq!((report.max_active_polls, report.notify_start), (1, report.notify_stop), "each said good-bye");
}

#[test]
fn a_server_that_does_not_answer_does_not_keep_a_sidecar_without_gateway() {
    use ilink_simulator::{Endpoint, FaultKind};
    let world = World::new();
    let bot = world.bot();
    world.lasting_fault(Endpoint::NotifyStop, FaultKind::Delay(Duration::from_secs(60)));
    let lived = outlives(&world, Some(&bot));
    assert!(lived < SOON, "{lived:?}");
}

#[test]
fn a_suspended_gateway_is_not_a_dead_one() {
    let world = World::new();
    let bot = world.bot();
    let served = Served::start(world.launch());
    served.gateway.start_account(&bot);
    world.wait_for_poll(&bot);
    served.gateway.signal(Signal::STOP);
    // It is looked at once a second.
    let until = Instant::now() + Duration::from_secs(3);
    let mut received = 0;
    while Instant::now() < until {
        world.writes(&bot, "ann@im.wechat", "hello");
        received += 1;
        served.gateway.until_received(&bot, received);
    }
    served.gateway.signal(Signal::CONT);
    assert_eq!(served.gateway.status(&bot)["state"], "polling");
    assert!(runs(served.pid));
}

/// Two shells above the sidecar: the gateway, and one that stays when the gateway is killed.
const BETWEEN: [&str; 8] =
    ["sh", "-c", "exec 3<&0; \"$@\" <&3 3<&- & wait", "gateway", "sh", "-c", SHELL[2], "between"];

#[test]
fn a_gateway_above_the_parent_is_watched_when_it_says_who_it_is() {
    let world = World::new();
    let gateway = world.launch().behind(BETWEEN).spawn();
    let host = json!({ "name": "test", "version": "1", "pid": gateway.pid() });
    gateway.call("initialize", json!({ "protocolVersion": 1, "host": host, "stateDir": world.state.path() }));
    let below = descendants(gateway.pid());
    let [between, sidecar] = below[..] else { panic!("{below:?}") };
    assert!(program(sidecar).ends_with(":openclaw-weixin-sidecar"));
    gateway.kill();
    let killed = Instant::now();
    until("its end", || !runs(sidecar));
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    until("the end of the shell, which waited for it", || !runs(between));
}

#[test]
fn a_gateway_that_says_to_be_somebody_else_is_not_believed() {
    let world = World::new();
    let other = Named::sleeps(world.state.path(), "other");
    let sidecar = world.launch().with("host", json!({ "name": "test", "version": "1", "pid": other.pid() })).start();
    drop(other);
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        sidecar.call("status.get", json!({}));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_sidecar_adopted_by_a_supervisor_ends_too() {
    let world = World::new();
    let served = Served::start(world.launch());
    // From now on this process adopts the orphans below it, as a supervisor does.
    rustix::process::set_child_subreaper(Some(pid(std::process::id()))).unwrap();
    served.gateway.kill();
    let killed = Instant::now();
    until("its end", || !runs(served.pid));
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    rustix::process::set_child_subreaper(None).unwrap();
    let log = eventually("its last words", || {
        Some(served.gateway.log()).filter(|log| log.iter().any(|line| line.contains("the gateway is gone")))
    });
    assert!(log.iter().all(|line| !text(&serde_json::from_str(line).unwrap(), "level").contains("error")));
}
