//! Hub and clients are killed again and again: nothing is lost, and nothing is said twice to anybody.
//!
//! The moments are random. A failure prints its seed; `WEIXIN_TEST_SEED=<seed>` plays the same choices again.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use common::hub::{Hub, token};
use common::{Bot, DEADLINE, Random, World};
use ilink_simulator::LimitsPatch;
use serde_json::{Value, json};

/// With `WEIXIN_TEST_ROUNDS` more; the figures of the hub's documents are of 200.
const ROUNDS: usize = 25;
const PEOPLE: u64 = 6;

/// A client of the façade: answers each message once, by its id, and keeps its cursor only sometimes.
struct Client {
    token: String,
    cursor: String,
}

impl Client {
    /// One poll and its answers, as far as they come. A client that dies in the middle leaves its cursor where it was.
    fn work(&mut self, hub: &Hub, random: &mut Random, dies: bool) -> Option<()> {
        // A poll that finds nothing is held: it is given up as a client that is killed gives it up.
        let body = json!({ "get_updates_buf": self.cursor }).to_string();
        let polled = hub
            .try_request("POST", "/ilink/bot/getupdates", |request| {
                request.bearer_auth(&self.token).timeout(Duration::from_millis(300)).body(body)
            })
            .ok()?;
        let polled: Value = serde_json::from_slice(&polled.body).ok()?;
        for message in polled["msgs"].as_array()? {
            let text = message["item_list"][0]["text_item"]["text"].as_str()?;
            let answer = json!({ "msg": {
                "to_user_id": message["from_user_id"],
                "client_id": format!("answer-{}", message["message_id"]),
                "context_token": message["context_token"],
                "message_type": 2,
                "message_state": 2,
                "item_list": [{ "type": 1, "text_item": { "text": format!("re: {text}") } }],
            } });
            if dies && random.below(12) == 0 {
                return None;
            }
            let sent = hub
                .try_request("POST", "/ilink/bot/sendmessage", |request| {
                    request.bearer_auth(&self.token).body(answer.to_string())
                })
                .ok()?;
            let sent: Value = serde_json::from_slice(&sent.body).ok()?;
            assert_eq!(sent["ret"], 0, "{sent}");
        }
        match random.below(10) {
            // It lost what it kept.
            0 => self.cursor.clear(),
            _ => self.cursor = polled["get_updates_buf"].as_str()?.to_owned(),
        }
        Some(())
    }
}

fn rounds() -> usize {
    std::env::var("WEIXIN_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

#[test]
fn hub_and_clients_killed_at_any_moment_lose_nothing_and_say_nothing_twice() {
    let mut random = Random::seeded();
    let world = World::new();
    // What a person reads is to show what was done twice, not how often a bot may write.
    world.control.set_limits(LimitsPatch { quota_per_token: Some(None), burst: Some(None), ..LimitsPatch::default() });
    world
        .state
        .write("openclaw-weixin/hub.toml", "[backends.one]\naccess = \"open\"\n[backends.two]\naccess = \"open\"\n");
    let config = json!({ "channels": { "openclaw-weixin": { "outbox": { "quotaPerMessage": 100_000, "perMinute": 100_000, "burst": 1_000 } } } });
    world.state.write("openclaw.json", config.to_string());
    let bots: Vec<Bot> = ["a", "b"].map(|name| world.bot_named(name)).into();
    let mut clients: Vec<Client> = ["one", "two"]
        .iter()
        .zip(&bots)
        .map(|(name, bot)| Client { token: token(&world, name, &["--account", &bot.account]), cursor: String::new() })
        .collect();
    let mut expected: HashMap<(String, String), Vec<String>> = HashMap::new();
    let mut number = 0;
    let mut write = |random: &mut Random| {
        for _ in 0..random.below(12) {
            let bot = &bots[random.below(2) as usize];
            let person = format!("person{}@im.wechat", random.below(PEOPLE));
            number += 1;
            world.writes(bot, &person, &number.to_string());
            expected.entry((bot.id.clone(), person)).or_default().push(format!("re: {number}"));
        }
    };
    for _ in 0..rounds() {
        let hub = Hub::start(&world);
        let life = Duration::from_millis(100 + random.below(600));
        let began = Instant::now();
        while began.elapsed() < life {
            write(&mut random);
            for client in &mut clients {
                client.work(&hub, &mut random, true);
            }
        }
        hub.kill();
    }
    let hub = Hub::start(&world);
    let total: usize = expected.values().map(Vec::len).sum();
    let began = Instant::now();
    let unacked = || world.state.count("SELECT COUNT(*) FROM inbox");
    while (world.sent().len() < total || unacked() > 0) && began.elapsed() < DEADLINE * 4 {
        for client in &mut clients {
            client.work(&hub, &mut random, false);
        }
    }
    let mut read: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for sent in world.sent() {
        read.entry((sent.bot_id.clone(), sent.to.clone())).or_default().push(sent.text.clone().unwrap());
    }
    let expected: BTreeMap<_, _> = expected.into_iter().collect();
    let (inbox, waiting) = (unacked(), world.state.count("SELECT COUNT(*) FROM outbound WHERE state = 'pending'"));
    let log = hub.log();
    let log = &log[log.len().saturating_sub(3_000)..];
    let read_in_all: usize = read.values().map(Vec::len).sum();
    assert_eq!((read_in_all, inbox, waiting), (total, 0, 0), "read, in the inbox, waiting to be sent\n{log}");
    assert_eq!(read, expected, "everybody read each answer once, in order");
    assert!(total > 2 * rounds(), "the load was too small: {total}");
}
