//! Many messages and many polls.

use std::time::{Duration, Instant};

use super::{Bench, eventually, quick};
use crate::SimulatorConfig;

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_twenty_thousand_messages_is_handed_out_in_batches() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let start = Instant::now();
    bench.control.burst(&account.bot_id, 500, 20_000).unwrap();
    let pushed = start.elapsed();
    let mut cursor = String::new();
    let mut count = 0;
    while count < 20_000 {
        let answer = bench.poll(&account, &cursor).await;
        count += answer["msgs"].as_array().unwrap().len();
        answer["get_updates_buf"].as_str().unwrap().clone_into(&mut cursor);
    }
    let bot = bench.control.bot(&account.bot_id).unwrap();
    assert_eq!((bot.polls, bot.queued), (40, 0));
    println!("pushed in {pushed:?}, pushed and read in {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_polls_are_held_at_once_and_one_message_wakes_only_its_own() {
    let long = SimulatorConfig { long_poll: Duration::from_secs(35), ..quick() };
    let bench = Bench::with(long).await;
    let accounts: Vec<_> = (0..500).map(|_| bench.bot()).collect();
    let polls = futures_util::future::join_all(accounts.iter().map(|a| bench.poll(a, "")));
    let held = || bench.control.state().bots.iter().map(|bot| bot.active_polls).sum::<usize>();
    let drive = async {
        eventually("all are held", || held() == 500).await;
        bench.control.push_text(&accounts[7].bot_id, "ann", "hello").unwrap();
        eventually("one is answered", || held() == 499).await;
        for account in &accounts {
            bench.control.release(&account.bot_id).unwrap();
        }
    };
    let (answers, ()) = tokio::join!(polls, drive);
    let news = answers.iter().filter(|answer| answer["msgs"][0].is_object()).count();
    assert_eq!(news, 1);
}
