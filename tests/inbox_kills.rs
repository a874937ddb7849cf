//! Killed again and again in the middle of everything, the sidecar loses no message, delivers none again that was acked,
//! and keeps the order of every conversation.
//!
//! The moments are random. A failure prints its seed; `WEIXIN_TEST_SEED=<seed>` plays the same choices again.

mod common;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use common::{Bot, DEADLINE, Random, Sidecar, World, text, until};
use serde_json::json;

const ROUNDS: usize = 20;
const PEOPLE: u64 = 12;

/// A gateway that takes a delivery over when it sees it for the first time, whatever becomes of the ack.
#[derive(Default)]
struct Gateway {
    taken: HashMap<String, Vec<u64>>,
    known: HashSet<String>,
    /// Acks that were answered: these deliveries are over.
    over: HashSet<String>,
    /// Acks under way, by request.
    asked: HashMap<u64, Vec<String>>,
}

impl Gateway {
    /// Looks at what came, and gives back a few, leaves a few, acks the rest.
    fn work(&mut self, sidecar: &Sidecar, random: &mut Random, careless: bool) {
        let (deliveries, responses) = {
            let mut seen = sidecar.seen();
            (std::mem::take(&mut seen.deliveries), std::mem::take(&mut seen.responses))
        };
        for (request, _) in responses {
            self.over.extend(self.asked.remove(&request).unwrap_or_default());
        }
        let mut ids = Vec::new();
        for message in &deliveries {
            let id = text(message, "deliveryId").to_owned();
            assert!(!self.over.contains(&id), "{id} came again after its ack was answered");
            if self.known.insert(id.clone()) {
                let message_id = text(message, "messageId").parse().unwrap();
                self.taken.entry(text(message, "from").to_owned()).or_default().push(message_id);
            }
            match random.below(20) {
                0 => {
                    let params = json!({ "deliveryId": id, "retryAfterMs": random.below(40) });
                    sidecar.try_ask("inbound.nack", params);
                }
                // It is left unacked: only a kill brings it again.
                1 if careless => {}
                _ => ids.push(id),
            }
        }
        if !ids.is_empty()
            && let Some(request) = sidecar.try_ask("inbound.ack", json!({ "deliveryIds": ids }))
        {
            self.asked.insert(request, ids);
        }
    }
}

fn start(world: &World, bot: &Bot) -> Sidecar {
    let sidecar = world.sidecar();
    sidecar.start_account(bot);
    sidecar
}

#[test]
fn killed_at_any_moment_it_delivers_every_message_once_and_in_order() {
    let mut random = Random::seeded();
    let world = World::new();
    let bot = world.bot();
    let mut gateway = Gateway::default();
    let mut sent: HashMap<String, Vec<u64>> = HashMap::new();
    let mut write = |random: &mut Random| {
        for _ in 0..random.below(4) {
            let person = format!("person{}@im.wechat", random.below(PEOPLE));
            let id = world.writes(&bot, &person, "hello");
            sent.entry(person).or_default().push(id);
        }
    };
    for _ in 0..ROUNDS {
        write(&mut random);
        let sidecar = start(&world, &bot);
        let life = Duration::from_millis(random.below(250));
        let began = Instant::now();
        while began.elapsed() < life {
            write(&mut random);
            gateway.work(&sidecar, &mut random, true);
            std::thread::sleep(Duration::from_millis(random.below(4)));
        }
        sidecar.kill();
        gateway.asked.clear();
    }
    let sidecar = start(&world, &bot);
    let total: usize = sent.values().map(Vec::len).sum();
    let began = Instant::now();
    while gateway.over.len() < total || !gateway.asked.is_empty() {
        gateway.work(&sidecar, &mut random, false);
        // Acks that were committed but never answered: the server's word is the database.
        if gateway.known.len() == total && world.state.count("SELECT COUNT(*) FROM inbox") == 0 {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{} of {total} messages came", gateway.known.len());
        std::thread::sleep(Duration::from_millis(2));
    }
    until("an empty inbox", || world.state.count("SELECT COUNT(*) FROM inbox") == 0);
    assert!(total > 200, "the load was too small: {total}");
    assert_eq!(gateway.taken, sent);
    assert_eq!(world.state.count("SELECT COUNT(*) FROM seen"), total as i64);
}

#[test]
fn a_graceful_end_in_the_middle_of_a_burst_loses_nothing_either() {
    let mut random = Random::seeded();
    let world = World::new();
    let bot = world.bot();
    let mut gateway = Gateway::default();
    let ids = world.control.burst(&bot.id, 40, 2_000).unwrap();
    while gateway.known.len() < ids.len() {
        let sidecar = start(&world, &bot);
        let enough = gateway.known.len() + 200;
        until("some deliveries", || {
            gateway.work(&sidecar, &mut random, false);
            gateway.known.len() >= enough.min(ids.len())
        });
        sidecar.close_stdin();
        assert!(sidecar.exit(common::EXIT).success());
        // Acks that came with the end may have been taken: their answers are on stdout.
        gateway.asked.clear();
    }
    let sidecar = start(&world, &bot);
    until("an empty inbox", || {
        gateway.work(&sidecar, &mut random, false);
        world.state.count("SELECT COUNT(*) FROM inbox") == 0
    });
    assert!(gateway.taken.values().all(|of_one| of_one.is_sorted()), "{:?}", gateway.taken);
    let mut all: Vec<u64> = gateway.taken.into_values().flatten().collect();
    all.sort();
    assert_eq!(all, ids);
}
