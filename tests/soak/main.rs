//! An hour, a hundred accounts, faults, restarts: nothing is lost, nothing is doubled, nothing grows. On request:
//!
//! `cargo test --release --locked --test soak -- --ignored --nocapture`
//!
//! One process lives for two thirds of the time, because only a long life shows what grows; in the rest it is killed or
//! ended every minute or two. `WEIXIN_SOAK_S` (3600), `WEIXIN_SOAK_ACCOUNTS` (100), `WEIXIN_SOAK_RATE` (8 messages a
//! second), `WEIXIN_SOAK_BINARY` (the one that Cargo built), `WEIXIN_SOAK_CSV` (`target/tmp/soak.csv`: what was sampled),
//! `WEIXIN_TEST_SEED`.

#![cfg(target_os = "linux")]

mod assertions;
mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod gateway;
mod metrics;
mod plan;
mod workload;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chaos::Chaos;
use common::{Bot, EXIT, Random, Sidecar, World};
use gateway::{Asked, Gateway};
use metrics::{Metrics, Progress};
use plan::{CLOSE_MS, FILES, Plan, TEXTS};
use serde_json::{Value, json};
use tempfile::TempDir;
use workload::Workload;

/// When the rest is not worth waiting for.
const DRAIN: Duration = Duration::from_secs(360);
/// How soon after its start a process has cleaned up.
const CLEAN_UP: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(10);
const TOLD_EVERY: Duration = Duration::from_secs(60);

struct Soak {
    plan: Plan,
    random: Random,
    world: World,
    bots: Vec<Bot>,
    /// Where answers' files are.
    outgoing: TempDir,
    workload: Workload,
    gateway: Gateway,
    chaos: Chaos,
    metrics: Metrics,
    began: Instant,
    told: Instant,
    life: u32,
    ends: [u32; 3],
}

#[test]
#[ignore = "takes an hour; WEIXIN_SOAK_S=180 for less"]
fn an_hour_of_everything_loses_nothing_and_grows_nowhere() {
    let mut soak = Soak::new(Plan::from_env());
    let mut sidecar = soak.start();
    let mut ends = soak.plan.one_life;
    while soak.began.elapsed() < soak.plan.time {
        if soak.began.elapsed() >= ends {
            soak.end(&sidecar);
            sidecar = soak.start();
            let (shortest, longest) = soak.plan.lives();
            ends = soak.began.elapsed() + Duration::from_millis(shortest + soak.random.below(longest - shortest));
        }
        soak.write();
        let Soak { random, plan, world, bots, gateway, chaos, .. } = &mut soak;
        chaos.pass(random, plan, world, bots, &sidecar, gateway);
        sidecar = soak.go_on(sidecar);
    }
    sidecar = soak.drain(sidecar);
    soak.say_good_bye(&sidecar, 1);
    drop(sidecar);
    soak.check_that_nothing_comes_again();
    soak.judge();
}

impl Soak {
    fn new(plan: Plan) -> Soak {
        let mut random = Random::seeded();
        let world = World::new();
        let bots: Vec<Bot> = (0..plan.accounts).map(|_| world.bot()).collect();
        let workload = Workload::new(bots.len());
        let every = (plan.time / 720).clamp(Duration::from_secs(1), Duration::from_secs(10));
        println!(
            "{:?}, {} accounts, {} messages a second, {}; samples in {}",
            plan.time,
            plan.accounts,
            plan.rate,
            plan.binary.display(),
            plan.csv.display()
        );
        Soak {
            chaos: Chaos::new(&mut random),
            gateway: Gateway::new(&workload),
            metrics: Metrics::new(&plan.csv, every),
            outgoing: tempfile::tempdir().unwrap(),
            began: Instant::now(),
            told: Instant::now(),
            life: 0,
            ends: [0; 3],
            plan,
            random,
            world,
            bots,
            workload,
        }
    }

    /// A new process, with every account started.
    fn start(&mut self) -> Sidecar {
        self.life += 1;
        let launch = self.world.launch().binary(&self.plan.binary).env("OPENCLAW_WEIXIN_LOG", "warn");
        let launch = launch.env("WEIXIN_OUTBOX_CLOSE_MS", CLOSE_MS).with("config", self.plan.config(0));
        let sidecar = launch.with("mediaRoots", json!([self.outgoing.path()])).start();
        for (n, bot) in self.bots.iter().enumerate() {
            self.gateway.ask(&sidecar, "account.start", json!({ "accountId": bot.account }), Asked::Start(n));
        }
        sidecar
    }

    /// People write, so many a second.
    fn write(&mut self) {
        let due = self.began.elapsed().as_secs_f64() * self.plan.rate;
        // After a pause of this process, not all of it at once.
        for _ in 0..(due as usize).saturating_sub(self.workload.written).min(20) {
            self.workload.write(&mut self.random, &self.world, &self.bots, self.outgoing.path());
        }
    }

    /// The gateway works for a moment. A process that has ended by itself is blamed, and replaced.
    fn go_on(&mut self, sidecar: Sidecar) -> Sidecar {
        self.gateway.work(&mut self.random, &mut self.workload, &self.bots, &sidecar);
        if sidecar.seen().is_over() {
            let log = sidecar.log();
            let tail = log[log.len().saturating_sub(20)..].join("\n");
            self.gateway.blame(format!("process {} ended by itself:\n{tail}", self.life));
            self.forget();
            return self.start();
        }
        let done = &self.gateway.done;
        let progress = Progress { written: self.workload.written, taken: done.taken, answered: done.answered };
        self.metrics.look(self.life, sidecar.pid(), self.world.state.path(), progress);
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = Instant::now();
            let now = self.metrics.samples.last().expect("it was looked at");
            println!(
                "{:4.0} min, process {}: {}; {} open files, {} threads, {:.1} MiB",
                self.began.elapsed().as_secs_f64() / 60.0,
                self.life,
                self.gateway.left(&self.workload),
                now.open_files,
                now.threads,
                now.rss as f64 / (1024.0 * 1024.0)
            );
        }
        std::thread::sleep(TICK);
        sidecar
    }

    /// Ends a process in one of three ways: mostly it is killed.
    fn end(&mut self, sidecar: &Sidecar) {
        let how = self.random.below(5).saturating_sub(2) as usize;
        match how {
            0 => {
                self.ends[0] += 1;
                // In the middle of something.
                for _ in 0..30 {
                    self.workload.write(&mut self.random, &self.world, &self.bots, self.outgoing.path());
                }
                for _ in 0..self.random.below(60) {
                    self.gateway.work(&mut self.random, &mut self.workload, &self.bots, sidecar);
                    std::thread::sleep(Duration::from_millis(1));
                }
                sidecar.kill();
            }
            how => self.say_good_bye(sidecar, how),
        }
        self.hear_the_rest(sidecar);
        self.forget();
    }

    /// Ends a process as the contract has it: by `shutdown`, or by the end of its stdin.
    fn say_good_bye(&mut self, sidecar: &Sidecar, how: usize) {
        self.ends[how] += 1;
        if how == 1 {
            sidecar.try_ask("shutdown", json!({}));
        } else {
            sidecar.close_stdin();
        }
        let status = sidecar.exit(EXIT);
        if !status.success() {
            self.gateway.blame(format!("process {} ended with {status}", self.life));
        }
    }

    /// What a process said before its end counts.
    fn hear_the_rest(&mut self, sidecar: &Sidecar) {
        common::until("the end of its stdout", || sidecar.seen().is_over());
        // Nothing that it is asked now arrives any more: what is acked here comes again.
        self.gateway.work(&mut self.random, &mut self.workload, &self.bots, sidecar);
        if let Some(line) = sidecar.log().iter().find(|line| line.contains("panic")) {
            self.gateway.blame(format!("process {} panicked: {line}", self.life));
        }
    }

    fn forget(&mut self) {
        self.gateway.new_life();
        self.chaos.new_life();
    }

    /// Waits until everything that was written is answered, with nothing going wrong any more.
    fn drain(&mut self, mut sidecar: Sidecar) -> Sidecar {
        let began = Instant::now();
        loop {
            self.chaos.calm(&self.world);
            self.chaos.repair(&self.world, &self.bots, &sidecar, &mut self.gateway);
            sidecar = self.go_on(sidecar);
            if self.gateway.is_done(&self.workload) && self.chaos.is_fine() {
                let held = sidecar.call("outbound.queue", json!({}))["items"].take();
                if held.as_array().is_some_and(Vec::is_empty) {
                    println!("drained in {:.0} s", began.elapsed().as_secs_f64());
                    return sidecar;
                }
                self.ask_for_the_rest(&held);
            }
            if began.elapsed() > DRAIN {
                let held = sidecar.call("outbound.queue", json!({}));
                self.gateway.blame(format!("not done after {DRAIN:?}: {}; {held}", self.gateway.left(&self.workload)));
                return sidecar;
            }
        }
    }

    /// A message allows ten: after a long backlog the rest comes when the person writes again.
    fn ask_for_the_rest(&mut self, held: &Value) {
        let of_quota = held.as_array().into_iter().flatten().filter(|item| item["reason"] == "quota");
        let waiting: HashSet<&str> = of_quota.filter_map(|item| item["to"].as_str()).collect();
        for who in 0..self.workload.all.len() {
            if waiting.contains(self.workload.all[who].id.as_str()) {
                self.workload.write_as(who, &mut self.random, &self.world, &self.bots, self.outgoing.path());
            }
        }
    }

    /// One more process, to which the server hands over everything again.
    fn check_that_nothing_comes_again(&mut self) {
        self.forget();
        let sidecar = self.start();
        for bot in self.bots.iter().take(5) {
            let again = self.world.control.replay(&bot.id).unwrap() as u64;
            sidecar.until_received(bot, again);
        }
        let deliveries = sidecar.seen().deliveries.len();
        if deliveries > 0 {
            self.gateway.blame(format!("{deliveries} messages were delivered again after everything was acked"));
        }
        self.check_that_caches_have_limits();
        self.say_good_bye(&sidecar, 2);
    }

    /// A process cleans up a minute after its start, and then every hour.
    fn check_that_caches_have_limits(&mut self) {
        let texts =
            "SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(*) AS n FROM seen WHERE text IS NOT NULL GROUP BY account)";
        let media = self.world.state.channel().join("media");
        let began = Instant::now();
        loop {
            let (texts, oldest) = (self.world.state.count(texts), metrics::oldest(&media));
            if texts <= TEXTS && oldest <= FILES + CLEAN_UP {
                println!("at most {texts} texts of an account are kept, and files of {oldest:.0?}");
                return;
            }
            if began.elapsed() > CLEAN_UP {
                return self.gateway.blame(format!("{texts} texts of one account are kept, and files of {oldest:?}"));
            }
            std::thread::sleep(TICK);
        }
    }

    fn judge(mut self) {
        assertions::compare(&mut self.gateway, &self.workload, &self.bots, &self.world);
        assertions::flatness(&mut self.gateway, &self.metrics.samples);
        assertions::restarts(&self.metrics.samples);
        let (done, happened) = (&self.gateway.done, &self.chaos.happened);
        println!("\n| what | how often |\n| --- | --- |");
        for (what, count) in [
            ("messages from people", self.workload.written as u64),
            ("deliveries of them", done.deliveries),
            ("delivered again because the ack was not confirmed before the end", done.again),
            ("nacked", done.nacked),
            ("slow turns", done.slow),
            ("files received whole", done.files),
            ("files that the media host withheld", done.files_missing),
            ("quotes resolved", done.quotes),
            ("answers", done.answered as u64),
            ("held for a while", done.held),
            ("sent twice with one key", done.repeated_sends),
            ("sent again after an error", done.retried_sends),
            ("wire messages that people saw", self.world.sent().len() as u64),
            ("faults", happened.faults),
            ("outages of everything", happened.outages),
            ("logins renewed", happened.logins),
            ("accounts stopped and started", happened.stops),
            ("settings changed", happened.configs),
            ("messages handed over again", happened.replayed),
            ("processes killed", u64::from(self.ends[0])),
            ("ended by shutdown", u64::from(self.ends[1])),
            ("ended by the end of stdin", u64::from(self.ends[2])),
        ] {
            println!("| {what} | {count} |");
        }
        println!("\nrefused or dropped by the server:");
        for (reason, count) in assertions::refusals(&self.world) {
            println!("  {count:6} {reason}");
        }
        let wrong = &self.gateway.wrong;
        assert!(wrong.is_empty(), "{} things went wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    }
}
