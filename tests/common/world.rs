//! The simulator in this process, a state directory, both together.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ilink_simulator::{
    BotReport, Content, Control, Endpoint, Fault, FaultKind, NewBot, NewMessages, Quote, Sent, SentFilter, Simulator,
    SimulatorConfig,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::sidecar::{Launch, Sidecar};
use super::{DEADLINE, eventually};

/// A WeChat with a state directory beside it.
pub struct World {
    runtime: Runtime,
    simulator: Option<Simulator>,
    url: String,
    pub control: Control,
    pub state: State,
}

/// A bot of the simulator, and the account that it is to OpenClaw.
#[derive(Clone, Debug)]
pub struct Bot {
    pub id: String,
    pub account: String,
    pub user: String,
    pub token: String,
}

impl From<BotReport> for Bot {
    fn from(report: BotReport) -> Bot {
        Bot { id: report.bot_id, account: report.account_id, user: report.user_id, token: report.token }
    }
}

impl World {
    pub fn new() -> World {
        World::with(SimulatorConfig { strict: true, ..SimulatorConfig::default() })
    }

    /// A simulator with a configuration of its own.
    pub fn with(config: SimulatorConfig) -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let simulator = runtime.block_on(Simulator::start(config)).unwrap();
        let (url, control) = (simulator.url(), simulator.control());
        World { runtime, simulator: Some(simulator), url, control, state: State::new() }
    }

    /// Where the simulator listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:port` of the simulator.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Ends the simulator: its port answers no more.
    pub fn end(&mut self) {
        if let Some(simulator) = self.simulator.take() {
            self.runtime.block_on(simulator.stop());
        }
    }

    /// A bot whose login is in the state directory already.
    pub fn bot(&self) -> Bot {
        self.bot_as(NewBot::default())
    }

    /// The same, with a name.
    pub fn bot_named(&self, name: &str) -> Bot {
        self.bot_as(NewBot { bot_id: Some(format!("{name}@im.bot")), ..NewBot::default() })
    }

    fn bot_as(&self, new: NewBot) -> Bot {
        let bot: Bot = self.control.create_bot(new).unwrap().into();
        self.state.add_account(&bot, &self.url);
        bot
    }

    /// A sidecar to be started on this state directory and this simulator.
    pub fn launch(&self) -> Launch {
        Launch::new(self.state.path(), &self.url)
    }

    /// A sidecar that is initialised.
    pub fn sidecar(&self) -> Sidecar {
        self.launch().start()
    }

    /// A sidecar that polls one new account.
    pub fn polling(&self) -> (Sidecar, Bot) {
        let bot = self.bot();
        let sidecar = self.sidecar();
        sidecar.start_account(&bot);
        (sidecar, bot)
    }

    /// A person writes to a bot.
    pub fn writes(&self, bot: &Bot, from: &str, text: &str) -> u64 {
        self.control.push_text(&bot.id, from, text).unwrap()
    }

    /// A person writes, and the sidecar has heard it: it may write to them.
    pub fn hears(&self, sidecar: &Sidecar, bot: &Bot, from: &str) {
        let before = sidecar.seen().deliveries.len();
        self.writes(bot, from, "hello");
        let all = sidecar.deliveries(before + 1);
        sidecar.ack(&all[before..]);
    }

    /// What people read, in the order in which it reached them.
    pub fn texts(&self) -> Vec<String> {
        self.sent().iter().map(|sent| sent.text.clone().unwrap_or_default()).collect()
    }

    /// A person sends items to a bot, in this order.
    pub fn sends(&self, bot: &Bot, from: &str, content: Vec<Content>) -> u64 {
        self.control.push_content(&bot.id, from, content).unwrap()
    }

    /// A person writes to a bot and quotes a message.
    pub fn quotes(&self, bot: &Bot, from: &str, text: &str, quote: Quote) -> u64 {
        let new = NewMessages { quote: Some(quote), ..NewMessages::text(&bot.id, from, text) };
        self.control.push(&new).unwrap()[0]
    }

    /// How a bot stands.
    pub fn report(&self, bot: &Bot) -> BotReport {
        self.control.bot(&bot.id).unwrap()
    }

    /// How many requests of a kind a bot made, of those that are remembered.
    pub fn requests(&self, bot: &Bot, endpoint: Endpoint) -> usize {
        self.report(bot).requests.iter().filter(|request| request.endpoint == endpoint).count()
    }

    /// Everything that reached people.
    pub fn sent(&self) -> Vec<Arc<Sent>> {
        self.runtime.block_on(self.control.sent(&SentFilter::default()))
    }

    /// Waits until so many messages reached people.
    #[track_caller]
    pub fn wait_for_sent(&self, count: usize) -> Vec<Arc<Sent>> {
        let sent = self.runtime.block_on(self.control.wait_for_sent(&SentFilter::default(), count, DEADLINE));
        assert!(sent.len() >= count, "only {} of {count} messages reached people", sent.len());
        sent
    }

    /// Something goes wrong, so many times.
    pub fn fault(&self, endpoint: Endpoint, kind: FaultKind, times: u32) {
        self.control.add_fault(Fault::new(endpoint, kind).times(times));
    }

    /// Something goes wrong from now on.
    pub fn lasting_fault(&self, endpoint: Endpoint, kind: FaultKind) {
        self.control.add_fault(Fault::new(endpoint, kind));
    }

    /// Waits until a bot is polled.
    #[track_caller]
    pub fn wait_for_poll(&self, bot: &Bot) {
        eventually("a poll", || (self.report(bot).active_polls > 0).then_some(()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}

/// A state directory.
pub struct State {
    dir: TempDir,
}

impl State {
    pub fn new() -> State {
        State { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The channel's own directory.
    pub fn channel(&self) -> PathBuf {
        self.path().join("openclaw-weixin")
    }

    pub fn database(&self) -> PathBuf {
        self.channel().join("sidecar.sqlite")
    }

    /// A file of an account.
    pub fn account_file(&self, name: &str) -> PathBuf {
        self.channel().join("accounts").join(name)
    }

    /// Writes an account as the official plugin does.
    pub fn add_account(&self, bot: &Bot, url: &str) {
        self.add_account_in(&self.channel(), bot, url);
    }

    /// As [`State::add_account`], where the directory is another one for the sidecar than for the test.
    pub fn add_account_in(&self, channel: &Path, bot: &Bot, url: &str) {
        let mut ids = self.index();
        ids.push(bot.account.clone());
        let file = json!({
            "token": bot.token, "savedAt": "2026-01-01T00:00:00.000Z", "baseUrl": url, "userId": bot.user,
        });
        std::fs::create_dir_all(channel.join("accounts")).unwrap();
        std::fs::write(channel.join(format!("accounts/{}.json", bot.account)), file.to_string()).unwrap();
        std::fs::write(channel.join("accounts.json"), json!(ids).to_string()).unwrap();
    }

    /// The ids in `accounts.json`.
    pub fn index(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.channel().join("accounts.json")).unwrap_or("[]".into());
        serde_json::from_str(&text).unwrap()
    }

    /// Writes a file, and the directories above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A JSON file.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path().join(path)).unwrap()).unwrap()
    }

    /// The database.
    pub fn sql(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.database()).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        database
    }

    /// A number from the database.
    #[track_caller]
    pub fn count(&self, query: &str) -> i64 {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap()
    }
}
