//! Every endpoint, limit and fault, over real HTTP, and the control API beside it.

mod control;
mod faults;
mod incoming;
mod limits;
mod login;
mod scale;
mod send;
mod updates;
mod upload;

use std::time::Duration;

use base64::Engine as _;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::{Control, NewBot, Simulator, SimulatorConfig};

/// A simulator and a well-behaved client of it.
struct Bench {
    simulator: Simulator,
    control: Control,
    http: reqwest::Client,
}

/// One bot of the bench.
struct Account {
    bot_id: String,
    token: String,
}

/// Short times, so that a poll without news ends soon.
fn quick() -> SimulatorConfig {
    SimulatorConfig {
        long_poll: Duration::from_millis(400),
        login_poll: Duration::from_millis(400),
        auto_login_delay: Duration::from_millis(30),
        ..SimulatorConfig::default()
    }
}

impl Bench {
    async fn new() -> Self {
        Self::with(quick()).await
    }

    async fn with(config: SimulatorConfig) -> Self {
        // Whoever is first installs it; that another test was first is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let simulator = Simulator::start(config).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { control: simulator.control(), simulator, http }
    }

    fn bot(&self) -> Account {
        let bot = self.control.create_bot(NewBot::default()).unwrap();
        Account { bot_id: bot.bot_id, token: bot.token }
    }

    fn app(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("iLink-App-Id", "bot").header("iLink-App-ClientVersion", "132105")
    }

    /// An authorised request, with `base_info` added to its body.
    fn request(&self, account: &Account, endpoint: &str, mut body: Value) -> RequestBuilder {
        body["base_info"] = json!({ "channel_version": "2.4.9", "bot_agent": "OpenClaw/1.0" });
        self.bare(account, endpoint, &body)
    }

    /// The same, with the body as it is.
    fn bare(&self, account: &Account, endpoint: &str, body: &Value) -> RequestBuilder {
        let uin = rand::random::<u32>().to_string();
        self.app(self.http.post(format!("{}/ilink/bot/{endpoint}", self.simulator.url())))
            .header("AuthorizationType", "ilink_bot_token")
            .header("Authorization", format!("Bearer {}", account.token))
            .header("X-WECHAT-UIN", base64::engine::general_purpose::STANDARD.encode(uin))
            .json(body)
    }

    async fn call(&self, account: &Account, endpoint: &str, body: Value) -> Value {
        json_of(self.request(account, endpoint, body).send().await.unwrap()).await
    }

    async fn poll(&self, account: &Account, cursor: &str) -> Value {
        self.call(account, "getupdates", json!({ "get_updates_buf": cursor })).await
    }

    async fn send(&self, account: &Account, client_id: &str, token: Option<&str>) -> Value {
        self.call(account, "sendmessage", message("ann@im.wechat", client_id, token)).await
    }

    /// Lets Ann write, and returns the context token that comes with it.
    async fn context_token(&self, account: &Account) -> String {
        self.control.push_text(&account.bot_id, "ann@im.wechat", "hello").unwrap();
        let answer = self.poll(account, "").await;
        let last = answer["msgs"].as_array().unwrap().last().unwrap();
        last["context_token"].as_str().unwrap().to_owned()
    }

    async fn new_qrcode(&self, tokens: &[&str]) -> String {
        let url = format!("{}/ilink/bot/get_bot_qrcode?bot_type=3", self.simulator.url());
        let request = self.app(self.http.post(url)).json(&json!({ "local_token_list": tokens }));
        let answer = json_of(request.send().await.unwrap()).await;
        assert!(answer["qrcode_img_content"].as_str().unwrap().starts_with("http"));
        answer["qrcode"].as_str().unwrap().to_owned()
    }

    async fn status(&self, qrcode: &str, code: Option<&str>) -> Value {
        let url = format!("{}/ilink/bot/get_qrcode_status", self.simulator.url());
        let request = self.app(self.http.get(url)).query(&[("qrcode", qrcode)]);
        let request = match code {
            Some(code) => request.query(&[("verify_code", code)]),
            None => request,
        };
        json_of(request.send().await.unwrap()).await
    }

    async fn control_post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_sim/{path}", self.simulator.url());
        json_of(self.http.post(url).json(&body).send().await.unwrap()).await
    }

    async fn control_put(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_sim/{path}", self.simulator.url());
        json_of(self.http.put(url).json(&body).send().await.unwrap()).await
    }

    async fn control_get(&self, path: &str) -> Value {
        let url = format!("{}/_sim/{path}", self.simulator.url());
        json_of(self.http.get(url).send().await.unwrap()).await
    }

    fn reasons(&self) -> Vec<String> {
        self.control.rejected(&Default::default()).into_iter().map(|r| r.reason).collect()
    }
}

fn message(to: &str, client_id: &str, token: Option<&str>) -> Value {
    let item = json!({ "type": 1, "text_item": { "text": format!("text of {client_id}") } });
    let mut msg = json!({
        "from_user_id": "", "to_user_id": to, "client_id": client_id,
        "message_type": 2, "message_state": 2, "item_list": [item],
    });
    if let Some(token) = token {
        msg["context_token"] = json!(token);
    }
    json!({ "msg": msg })
}

async fn json_of(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn texts(answer: &Value) -> Vec<&str> {
    let messages = answer["msgs"].as_array().unwrap();
    messages.iter().map(|m| m["item_list"][0]["text_item"]["text"].as_str().unwrap()).collect()
}

/// Waits for a condition; a test that needs longer than this has failed.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
