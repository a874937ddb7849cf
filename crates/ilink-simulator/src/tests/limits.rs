//! Quota, age and owner of context tokens, and the burst penalty.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Account, Bench, message};
use crate::quota::{Quota, Refusal};
use crate::{Limits, LimitsPatch, Tokenless};

async fn limits(bench: &Bench, body: Value) -> Value {
    let url = format!("{}/_sim/limits", bench.simulator.url());
    super::json_of(bench.http.put(url).json(&body).send().await.unwrap()).await
}

/// Sends so often, and returns the codes (0 when there is none).
async fn codes(bench: &Bench, account: &Account, token: Option<&str>, times: usize) -> Vec<i64> {
    let mut codes = Vec::new();
    for _ in 0..times {
        let client_id = format!("c{}", rand::random::<u64>());
        codes.push(bench.send(account, &client_id, token).await["ret"].as_i64().unwrap_or(0));
    }
    codes
}

#[tokio::test]
async fn a_context_token_is_good_for_ten_messages_and_the_next_one_for_ten_more() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let token = bench.context_token(&account).await;
    assert_eq!(codes(&bench, &account, Some(&token), 11).await, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -2]);
    // What was refused was not delivered, so its id is not used up.
    assert_eq!(bench.send(&account, "again", Some(&token)).await["ret"], -2);
    let next = bench.context_token(&account).await;
    assert_ne!(token, next);
    assert!(bench.send(&account, "again", Some(&next)).await["ret"].is_null());
    assert_eq!(codes(&bench, &account, Some(&next), 1).await, [0]);

    bench.control.set_limits(LimitsPatch { quota_per_token: Some(None), ..LimitsPatch::default() });
    assert_eq!(codes(&bench, &account, Some(&token), 12).await, [0; 12]);
}

#[tokio::test]
async fn a_context_token_ages_belongs_to_one_person_and_cannot_be_invented() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let token = bench.context_token(&account).await;
    let to_bob = message("bob@im.wechat", "c1", Some(&token));
    assert_eq!(bench.call(&account, "sendmessage", to_bob).await["ret"], -2);
    assert_eq!(bench.send(&account, "c2", Some("invented")).await["ret"], -2);
    limits(&bench, json!({ "tokenTtlMs": 0 })).await;
    assert_eq!(bench.send(&account, "c3", Some(&token)).await["ret"], -2);
    limits(&bench, json!({ "tokenTtlMs": null })).await;
    assert!(bench.send(&account, "c4", Some(&token)).await["ret"].is_null());
    assert_eq!(
        bench.reasons(),
        [
            "a context_token of another person",
            "a context_token that was never given out",
            "a context_token that is too old",
        ]
    );
}

#[tokio::test]
async fn sending_without_a_token_is_allowed_or_not() {
    let bench = Bench::new().await;
    let account = bench.bot();
    assert_eq!(codes(&bench, &account, None, 12).await, [0; 12]);
    let reject = LimitsPatch { tokenless: Some(Some(Tokenless::Reject)), ..LimitsPatch::default() };
    bench.control.set_limits(reject);
    assert_eq!(codes(&bench, &account, None, 1).await, [-2]);
    assert_eq!(codes(&bench, &account, Some(""), 1).await, [-2]);
}

#[tokio::test]
async fn a_burst_is_punished_for_the_whole_bot_and_for_no_other() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let other = bench.bot();
    limits(&bench, json!({ "burst": 3, "burstWindowMs": 60_000 })).await;
    assert_eq!(codes(&bench, &account, None, 5).await, [0, 0, -2, -2, -2]);
    assert_eq!(codes(&bench, &other, None, 1).await, [0]);
    limits(&bench, json!({ "burst": null })).await;
    assert_eq!(codes(&bench, &account, None, 5).await, [0; 5]);
}

#[tokio::test]
async fn every_try_during_the_penalty_prolongs_it() {
    let limits = Limits { burst: Some(3), penalty: Duration::from_secs(60), ..Limits::default() };
    let start = Instant::now();
    let mut quota = Quota::default();
    let mut at = |seconds| quota.admit(&limits, "ann", None, start + Duration::from_secs(seconds));
    // Two a second are never too many.
    for second in 0..5 {
        assert_eq!((at(second), at(second)), (Ok(()), Ok(())));
    }
    assert_eq!((at(10), at(10), at(10)), (Ok(()), Ok(()), Err(Refusal::Burst)));
    for second in [69, 128, 187] {
        assert_eq!(at(second), Err(Refusal::Penalty));
    }
    assert_eq!(at(247), Ok(()));
}

#[tokio::test]
async fn a_change_of_limits_leaves_the_others_alone() {
    let bench = Bench::new().await;
    let all = limits(&bench, json!({ "quotaPerToken": 3, "burst": 5 })).await;
    let expected = json!({
        "quotaPerToken": 3, "tokenTtlMs": 86_400_000, "burst": 5, "burstWindowMs": 1000,
        "penaltyMs": 60_000, "tokenless": "allow", "idleMs": null, "hideTags": false,
    });
    assert_eq!(all, expected);
    let all = limits(&bench, json!({ "quotaPerToken": null, "tokenless": "reject" })).await;
    assert_eq!(all["quotaPerToken"], Value::Null);
    assert_eq!(all["burst"], 5);
    assert!(limits(&bench, json!({ "quota": 3 })).await["error"].is_string());
}
