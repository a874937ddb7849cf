//! Killed two hundred times in the middle of everything, the sidecar and its gateway lose no message in either direction,
//! double none, and keep the order of every conversation.
//!
//! The moments are random. A failure prints its seed; `WEIXIN_TEST_SEED=<seed>` plays the same choices again.

mod common;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use common::{Bot, Random, Sidecar, World, text, until};
use serde_json::json;

const CYCLES: usize = 200;
const PEOPLE: u64 = 6;
/// Answers that a person waits for at most, below the ten that WeChat allows for a message.
const MOST_OPEN: usize = 6;

/// A gateway that answers every message once, with the message's own number as the key and the text of the answer. What
/// it knows by `taken` and `answers` is on its disk; the rest is forgotten when it is killed.
#[derive(Default)]
struct Gateway {
    /// Deliveries taken over, by person, in order.
    taken: HashMap<String, Vec<String>>,
    known: HashSet<String>,
    /// Answers that the sidecar has not confirmed yet, by person, in order.
    answers: HashMap<String, Vec<String>>,
    /// Requests under way: whose answer is being sent.
    asked: HashMap<u64, (String, String)>,
    busy: HashSet<String>,
}

impl Gateway {
    fn work(&mut self, sidecar: &Sidecar) {
        let (deliveries, responses) = {
            let mut seen = sidecar.seen();
            seen.updates.clear();
            (std::mem::take(&mut seen.deliveries), std::mem::take(&mut seen.responses))
        };
        for (request, response) in responses {
            let Some((person, answer)) = self.asked.remove(&request) else { continue };
            self.busy.remove(&person);
            // Sent or held: the sidecar has it, either way.
            assert!(response["result"]["status"].is_string(), "{response}");
            self.answers.get_mut(&person).unwrap().retain(|open| *open != answer);
        }
        let mut ids = Vec::new();
        for message in &deliveries {
            let id = text(message, "deliveryId").to_owned();
            if self.known.insert(id.clone()) {
                let person = text(message, "from").to_owned();
                let message_id = text(message, "messageId").to_owned();
                self.taken.entry(person.clone()).or_default().push(message_id.clone());
                self.answers.entry(person).or_default().push(message_id);
            }
            ids.push(id);
        }
        if !ids.is_empty() {
            sidecar.try_ask("inbound.ack", json!({ "deliveryIds": ids }));
        }
        for (person, open) in &self.answers {
            // One at a time for each person: the order of the answers is the gateway's to keep.
            if let Some(answer) = open.first()
                && !self.busy.contains(person)
            {
                let params = json!({ "to": person, "text": answer, "idempotencyKey": answer });
                if let Some(request) = sidecar.try_ask("outbound.sendText", params) {
                    self.busy.insert(person.clone());
                    self.asked.insert(request, (person.clone(), answer.clone()));
                }
            }
        }
    }

    /// Answers to a person that are not confirmed.
    fn open(&self, person: &str) -> usize {
        self.answers.get(person).map_or(0, Vec::len)
    }

    /// What it has not written down is gone.
    fn forget(&mut self) {
        self.asked.clear();
        self.busy.clear();
    }
}

fn start(world: &World, bot: &Bot) -> Sidecar {
    let config = json!({ "outbox": { "perMinute": 60_000, "burst": 1000, "notice": false } });
    let sidecar = world.launch().with("config", config).env("OPENCLAW_WEIXIN_LOG", "error").start();
    sidecar.start_account(bot);
    sidecar
}

fn person(n: u64) -> String {
    format!("person{n}@im.wechat")
}

#[test]
fn two_hundred_kills_lose_and_double_nothing_in_either_direction() {
    let mut random = Random::seeded();
    let world = World::new();
    let bot = world.bot();
    let mut gateway = Gateway::default();
    let mut written: HashMap<String, Vec<String>> = HashMap::new();
    let write = |written: &mut HashMap<String, Vec<String>>, to: u64| {
        let id = world.writes(&bot, &person(to), "hello");
        written.entry(person(to)).or_default().push(id.to_string());
    };
    for _ in 0..CYCLES {
        let sidecar = start(&world, &bot);
        let life = Duration::from_millis(random.below(80));
        let began = Instant::now();
        while began.elapsed() < life {
            let to = random.below(PEOPLE);
            // Who writes faster than this machine answers has no more answers left than WeChat allows.
            if random.below(4) == 0 && gateway.open(&person(to)) < MOST_OPEN {
                write(&mut written, to);
            }
            gateway.work(&sidecar);
            std::thread::sleep(Duration::from_millis(1));
        }
        match random.below(3) {
            // The sidecar alone: the gateway still knows what it was waiting for, but no answer comes.
            0 => sidecar.kill(),
            // The gateway alone: its end of the pipe is closed.
            1 => {
                sidecar.close_stdin();
                assert!(sidecar.exit(common::EXIT).success());
            }
            // Both at once.
            _ => sidecar.kill(),
        }
        gateway.forget();
    }
    (0..PEOPLE).for_each(|to| write(&mut written, to));
    let sidecar = start(&world, &bot);
    loop {
        let total: usize = written.values().map(Vec::len).sum();
        until("every message to be answered", || {
            gateway.work(&sidecar);
            gateway.known.len() == total && gateway.answers.values().all(Vec::is_empty)
        });
        let waiting = common::eventually("the outbox to rest", || {
            let items = sidecar.call("outbound.queue", json!({}))["items"].as_array().unwrap().clone();
            items.iter().all(|item| item["reason"] == "quota").then_some(items)
        });
        if waiting.is_empty() {
            break;
        }
        // On a slow machine the kills alone may use up what WeChat allows for a message: the person writes again.
        let people: HashSet<&str> = waiting.iter().map(|item| text(item, "to")).collect();
        (0..PEOPLE).filter(|n| people.contains(&*person(*n))).for_each(|n| write(&mut written, n));
    }
    assert_eq!(gateway.taken, written, "every message was taken once, in order");
    let mut answered: HashMap<String, Vec<String>> = HashMap::new();
    for sent in world.sent() {
        answered.entry(sent.to.clone()).or_default().push(sent.text.clone().unwrap());
    }
    assert_eq!(answered, written, "every answer arrived once, in order");
    let total: usize = written.values().map(Vec::len).sum();
    assert!(total > CYCLES / 2, "the load was too small: {total}");
}
