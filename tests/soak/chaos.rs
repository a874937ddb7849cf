//! What goes wrong: faults of the server, logins that become stale and are renewed, accounts that are stopped and
//! started, settings that change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ilink_simulator::{Endpoint, Fault, FaultKind, LoginStep};
use serde_json::{Value, json};

use crate::common::{Bot, Random, Sidecar, World};
use crate::gateway::{Asked, Gateway};
use crate::plan::Plan;

/// How often each kind of trouble comes.
const FAULT: Duration = Duration::from_millis(1_500);
const STALE: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);
const CONFIG: Duration = Duration::from_secs(45);
const REPLAY: Duration = Duration::from_secs(90);
const OUTAGE: Duration = Duration::from_secs(300);

/// Something that comes again and again, in irregular intervals.
struct Clock {
    every: Duration,
    next: Instant,
}

impl Clock {
    fn new(every: Duration, random: &mut Random) -> Clock {
        let mut clock = Clock { every, next: Instant::now() };
        clock.set(random);
        clock
    }

    /// Between half and one and a half of the interval.
    fn set(&mut self, random: &mut Random) {
        let ms = self.every.as_millis() as u64;
        self.next = Instant::now() + Duration::from_millis(ms / 2 + random.below(ms));
    }

    fn rings(&mut self, random: &mut Random) -> bool {
        let rings = Instant::now() >= self.next;
        if rings {
            self.set(random);
        }
        rings
    }
}

/// What happened.
#[derive(Default)]
pub struct Happened {
    pub faults: u64,
    pub outages: u64,
    pub logins: u64,
    pub stops: u64,
    pub configs: u64,
    pub replayed: u64,
}

pub struct Chaos {
    clocks: [Clock; 6],
    outage_ends: Option<Instant>,
    /// Bots whose login is stale, and from when on a person renews it.
    stale: VecDeque<(usize, Instant)>,
    /// Whether a login is under way, for the first of them.
    login: bool,
    /// Accounts that are stopped, and until when.
    stopped: Vec<(usize, Instant)>,
    turn: u64,
    pub happened: Happened,
}

impl Chaos {
    pub fn new(random: &mut Random) -> Chaos {
        let clocks = [FAULT, STALE, STOP, CONFIG, REPLAY, OUTAGE].map(|every| Clock::new(every, random));
        Chaos {
            clocks,
            outage_ends: None,
            stale: VecDeque::new(),
            login: false,
            stopped: Vec::new(),
            turn: 0,
            happened: Happened::default(),
        }
    }

    /// Lets happen whatever is due.
    pub fn pass(
        &mut self,
        random: &mut Random,
        plan: &Plan,
        world: &World,
        bots: &[Bot],
        sidecar: &Sidecar,
        gateway: &mut Gateway,
    ) {
        let any = |random: &mut Random| random.below(bots.len() as u64) as usize;
        let [fault, stale, stop, config, replay, outage] = &mut self.clocks;
        if fault.rings(random) {
            let bot = any(random);
            world.control.add_fault(a_fault(random).for_bot(&bots[bot].id));
            self.happened.faults += 1;
        }
        if stale.rings(random) {
            let bot = any(random);
            if !self.stale.iter().any(|(other, _)| *other == bot) {
                world.control.expire(&bots[bot].id).unwrap();
                self.stale.push_back((bot, Instant::now() + Duration::from_millis(2_000 + random.below(15_000))));
            }
        }
        if stop.rings(random) {
            let bot = any(random);
            if !self.stopped.iter().any(|(other, _)| *other == bot) {
                gateway.ask(sidecar, "account.stop", json!({ "accountId": bots[bot].account }), Asked::Stop(bot));
                self.stopped.push((bot, Instant::now() + Duration::from_millis(500 + random.below(10_000))));
                self.happened.stops += 1;
            }
        }
        if config.rings(random) {
            self.turn += 1;
            gateway.ask(sidecar, "config.set", json!({ "config": plan.config(self.turn) }), Asked::Other("config.set"));
            gateway.ask(sidecar, "status.get", json!({ "probe": true }), Asked::Other("status.get"));
            self.happened.configs += 1;
        }
        if replay.rings(random) {
            self.happened.replayed += world.control.replay(&bots[any(random)].id).unwrap() as u64;
        }
        if outage.rings(random) {
            let status = FaultKind::Status(502 + random.below(3) as u16);
            let kind = if random.below(2) == 0 { FaultKind::Reset } else { status };
            world.control.add_fault(Fault::new(None, kind));
            self.outage_ends = Some(Instant::now() + Duration::from_millis(3_000 + random.below(9_000)));
            self.happened.outages += 1;
        }
        if self.outage_ends.is_some_and(|ends| ends <= Instant::now()) {
            self.outage_ends = None;
            world.control.clear_faults();
        }
        self.repair(world, bots, sidecar, gateway);
    }

    /// Starts what is stopped for long enough, and renews the next login.
    pub fn repair(&mut self, world: &World, bots: &[Bot], sidecar: &Sidecar, gateway: &mut Gateway) {
        let now = Instant::now();
        self.stopped.retain(|(bot, until)| {
            if *until <= now {
                gateway.ask(sidecar, "account.start", json!({ "accountId": bots[*bot].account }), Asked::Start(*bot));
            }
            *until > now
        });
        for answer in std::mem::take(&mut gateway.logins) {
            self.log_in(world, bots, sidecar, gateway, &answer);
        }
        if let Some((bot, from)) = self.stale.front()
            && *from <= now
            && !self.login
        {
            let params = json!({ "accountId": bots[*bot].account, "force": true });
            self.login = gateway.ask(sidecar, "login.start", params, Asked::Login);
        }
    }

    /// The next step of the login that is under way. Whatever goes wrong with it, it is begun again.
    fn log_in(&mut self, world: &World, bots: &[Bot], sidecar: &Sidecar, gateway: &mut Gateway, answer: &Value) {
        let Some((bot, _)) = self.stale.front() else { return };
        let bot_id = Some(bots[*bot].id.clone());
        if answer["result"]["connected"] == true {
            self.happened.logins += 1;
            self.stale.pop_front();
        } else if let Some(session) = answer["result"]["sessionKey"].as_str() {
            let confirm = LoginStep::Confirm { user_id: None, bot_id };
            let done =
                world.control.login("latest", LoginStep::Scan).and_then(|_| world.control.login("latest", confirm));
            let wait = json!({ "sessionKey": session, "timeoutMs": 20_000 });
            self.login = done.is_ok() && gateway.ask(sidecar, "login.wait", wait, Asked::Login);
            return;
        }
        self.login = false;
    }

    /// A process has ended: its logins are gone, and the next one starts every account.
    pub fn new_life(&mut self) {
        self.login = false;
        self.stopped.clear();
    }

    /// Nothing goes wrong any more; what is broken is repaired at once.
    pub fn calm(&mut self, world: &World) {
        world.control.clear_faults();
        self.outage_ends = None;
        let now = Instant::now();
        self.stale.iter_mut().for_each(|(_, from)| *from = now);
        self.stopped.iter_mut().for_each(|(_, until)| *until = now);
    }

    /// Whether every account has its login and runs.
    pub fn is_fine(&self) -> bool {
        self.stale.is_empty() && self.stopped.is_empty()
    }
}

/// A fault for one bot. None of them is final for what it strikes.
fn a_fault(random: &mut Random) -> Fault {
    use Endpoint::{CdnDownload, CdnUpload, GetConfig, GetUpdates, GetUploadUrl, SendMessage, SendTyping};
    let status = FaultKind::Status(500 + random.below(5) as u16);
    let delay = FaultKind::Delay(Duration::from_secs(5 + random.below(40)));
    let ret = |ret| FaultKind::Ret { ret, errmsg: Some("system error".to_owned()) };
    let (endpoint, kinds) = match random.below(9) {
        0..3 => (
            GetUpdates,
            vec![
                status,
                delay,
                ret(-1),
                FaultKind::Reset,
                FaultKind::WrongJson,
                FaultKind::Truncate,
                FaultKind::DropAnswer,
                FaultKind::Duplicate,
            ],
        ),
        3..5 => (
            SendMessage,
            vec![
                status,
                delay,
                ret(-2),
                FaultKind::Reset,
                FaultKind::WrongJson,
                FaultKind::Truncate,
                FaultKind::DropAnswer,
            ],
        ),
        5 => (GetUploadUrl, vec![status, FaultKind::Reset, FaultKind::Truncate]),
        6 => (CdnUpload, vec![status, FaultKind::Reset, FaultKind::DropAnswer]),
        7 => (CdnDownload, vec![status, FaultKind::Reset, FaultKind::Truncate]),
        _ => (if random.below(2) == 0 { GetConfig } else { SendTyping }, vec![status, ret(-1), FaultKind::Reset]),
    };
    let kind = kinds[random.below(kinds.len() as u64) as usize].clone();
    Fault::new(endpoint, kind).times(1 + random.below(2) as u32)
}
