//! A state directory with accounts, as the official plugin writes it.

use std::fs;
use std::path::Path;

use serde_json::json;

/// The iLink id of the `n`-th bot.
pub fn bot_id(n: usize) -> String {
    format!("bench{n}@im.bot")
}

/// The account id that is made of it.
pub fn account_id(n: usize) -> String {
    format!("bench{n}-im-bot")
}

/// What authorises the `n`-th bot.
pub fn token(n: usize) -> String {
    format!("{}:{n:032x}", bot_id(n))
}

/// Writes the files of `count` accounts under the state directory `root`.
pub fn write_accounts(root: &Path, count: usize) {
    let channel = root.join("openclaw-weixin");
    let accounts = channel.join("accounts");
    fs::create_dir_all(&accounts).unwrap();
    let ids: Vec<String> = (1..=count).map(account_id).collect();
    for (n, id) in (1..).zip(&ids) {
        let file = json!({
            "token": token(n),
            "savedAt": "2026-01-01T00:00:00.000Z",
            "baseUrl": "https://ilinkai.weixin.qq.com",
            "userId": format!("owner{n}@im.wechat"),
        });
        fs::write(accounts.join(format!("{id}.json")), format!("{file:#}")).unwrap();
    }
    fs::write(channel.join("accounts.json"), format!("{:#}", json!(ids))).unwrap();
}
