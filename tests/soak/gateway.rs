//! The gateway: it takes what is delivered, at once or slowly or not at first, and answers everything once. It notes
//! whatever the sidecar must not do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Bot, Random, Sidecar, text};
use crate::workload::{Answer, Workload, md5};

/// What a request was about.
pub enum Asked {
    /// Deliveries: whose, and which of theirs.
    Ack(Vec<(usize, usize)>),
    Answer {
        who: usize,
        n: usize,
    },
    /// The same answer again, with the client ids of the first time.
    Again {
        client_ids: Value,
    },
    Stop(usize),
    Start(usize),
    Login,
    Other(&'static str),
}

/// A conversation as the gateway knows it. What is not marked survives the sidecar.
#[derive(Default)]
struct Conversation {
    /// How many messages were taken, in order.
    taken: usize,
    /// The next that must not come again: its ack was answered.
    confirmed: usize,
    /// Taken messages that are not answered yet.
    unanswered: VecDeque<usize>,
    /// The delivery that this life brought last, and its attempt; forgotten with the sidecar, or when it was nacked.
    handed: Option<usize>,
    /// A slow turn: which delivery is acked when. Forgotten with the sidecar.
    slow: Option<(Instant, usize, String)>,
    /// When a refused delivery had been tried so often. Forgotten with the sidecar.
    refused: Option<(usize, u64)>,
    /// Whether an answer is on its way. Forgotten with the sidecar.
    asking: bool,
    /// Not before this time.
    rest: Option<Instant>,
}

/// What was done.
#[derive(Default)]
pub struct Done {
    pub deliveries: u64,
    pub taken: usize,
    pub answered: usize,
    pub again: u64,
    pub nacked: u64,
    pub slow: u64,
    pub held: u64,
    pub quotes: u64,
    pub files: u64,
    pub files_missing: u64,
    pub repeated_sends: u64,
    pub retried_sends: u64,
}

#[derive(Default)]
pub struct Gateway {
    conversations: Vec<Conversation>,
    delivery_ids: HashMap<String, (usize, usize)>,
    asked: HashMap<u64, Asked>,
    /// Responses to steps of a login.
    pub logins: Vec<Value>,
    /// What the sidecar did wrong.
    pub wrong: Vec<String>,
    /// Answers that were refused for good, which is wrong by itself.
    pub lost: HashSet<(usize, usize)>,
    pub done: Done,
}

impl Gateway {
    pub fn new(workload: &Workload) -> Gateway {
        let conversations = workload.all.iter().map(|_| Conversation::default()).collect();
        Gateway { conversations, ..Gateway::default() }
    }

    /// Sends a request; `false`: the sidecar is gone.
    pub fn ask(&mut self, sidecar: &Sidecar, method: &str, params: Value, about: Asked) -> bool {
        let id = sidecar.try_ask(method, params);
        id.map(|id| self.asked.insert(id, about)).is_some()
    }

    pub fn blame(&mut self, what: String) {
        println!("WRONG: {what}");
        self.wrong.push(what);
    }

    /// Looks at all that the sidecar said, and does what is due.
    pub fn work(&mut self, random: &mut Random, workload: &mut Workload, bots: &[Bot], sidecar: &Sidecar) {
        let (deliveries, responses) = {
            let mut seen = sidecar.seen();
            seen.updates.clear();
            seen.statuses.clear();
            seen.progress.clear();
            (std::mem::take(&mut seen.deliveries), std::mem::take(&mut seen.responses))
        };
        let mut acks = Vec::new();
        for delivery in &deliveries {
            self.delivered(random, workload, bots, sidecar, delivery, &mut acks);
        }
        let now = Instant::now();
        for (who, conversation) in self.conversations.iter_mut().enumerate() {
            if let Some((_, n, id)) = conversation.slow.take_if(|(at, ..)| *at <= now) {
                let to = &workload.all[who].id;
                let account = &bots[workload.all[who].bot].account;
                let typing = json!({ "to": to, "accountId": account, "active": false });
                if let Some(id) = sidecar.try_ask("outbound.sendTyping", typing) {
                    self.asked.insert(id, Asked::Other("outbound.sendTyping"));
                }
                acks.push((who, n, id));
            }
        }
        self.ack(sidecar, acks);
        let mut responses: Vec<_> = responses.into_iter().collect();
        responses.sort_by_key(|(id, _)| *id);
        for (id, response) in responses {
            if let Some(asked) = self.asked.remove(&id) {
                self.answered(random, workload, bots, sidecar, asked, response);
            }
        }
        for who in 0..self.conversations.len() {
            let conversation = &self.conversations[who];
            if let Some(n) = conversation.unanswered.front()
                && !conversation.asking
                && conversation.rest.is_none_or(|until| until <= now)
            {
                let n = *n;
                self.conversations[who].asking = self.send(workload, bots, sidecar, who, n, Asked::Answer { who, n });
            }
        }
    }

    /// A message comes: it has to be the right one, and whole.
    fn delivered(
        &mut self,
        random: &mut Random,
        workload: &Workload,
        bots: &[Bot],
        sidecar: &Sidecar,
        message: &Value,
        acks: &mut Vec<(usize, usize, String)>,
    ) {
        self.done.deliveries += 1;
        let (id, message_id) = (text(message, "deliveryId"), text(message, "messageId"));
        let Some((who, n)) = workload.by_message.get(message_id).copied() else {
            return self.blame(format!("nobody wrote message {message_id}"));
        };
        if *self.delivery_ids.entry(id.to_owned()).or_insert((who, n)) != (who, n) {
            self.blame(format!("the delivery id {id} stands for two messages"));
        }
        let person = &workload.all[who];
        if message["from"] != person.id || message["accountId"] != bots[person.bot].account {
            self.blame(format!(
                "message {message_id} is attributed to {} of {}",
                message["from"], message["accountId"]
            ));
        }
        let attempt = message["attempt"].as_u64().unwrap_or(0);
        let conversation = &mut self.conversations[who];
        let (taken, confirmed) = (conversation.taken, conversation.confirmed);
        let (handed, refused) = (conversation.handed.replace(n), conversation.refused.take());
        if n < confirmed {
            self.blame(format!("{id} is delivered again although its ack was answered"));
        }
        if handed == Some(n) {
            self.blame(format!("{id} is delivered twice by one process"));
        }
        if n > taken {
            self.blame(format!("{id} is delivered before the message before it was acked"));
        }
        if refused.is_some_and(|(of, tries)| of == n && attempt <= tries) {
            self.blame(format!("{id} was nacked, and comes again as attempt {attempt}"));
        }
        self.check_content(workload, who, n, message);
        let conversation = &mut self.conversations[who];
        match random.below(100) {
            _ if n < taken => {
                self.done.again += 1;
                acks.push((who, n, id.to_owned()));
            }
            0..2 => {
                conversation.handed = None;
                conversation.refused = Some((n, attempt));
                self.done.nacked += 1;
                let nack = json!({ "deliveryId": id, "retryAfterMs": 200 + random.below(3_000), "reason": "soak" });
                self.ask(sidecar, "inbound.nack", nack, Asked::Other("inbound.nack"));
            }
            2..6 => {
                let until = Instant::now() + Duration::from_millis(1_000 + random.below(12_000));
                conversation.slow = Some((until, n, id.to_owned()));
                self.done.slow += 1;
                let typing = json!({ "to": person.id, "accountId": bots[person.bot].account, "active": true });
                self.ask(sidecar, "outbound.sendTyping", typing, Asked::Other("outbound.sendTyping"));
            }
            _ => acks.push((who, n, id.to_owned())),
        }
    }

    fn check_content(&mut self, workload: &Workload, who: usize, n: usize, message: &Value) {
        let wrote = &workload.all[who].wrote[n];
        let id = text(message, "deliveryId");
        if message["text"] != wrote.text {
            self.blame(format!("{id} says {} instead of {:?}", message["text"], wrote.text));
        }
        if let Some(quoted) = &wrote.quotes {
            self.done.quotes += 1;
            let quote = &message["quote"];
            if quote["resolved"] != true || quote["text"] != *quoted {
                self.blame(format!("{id} quotes {quoted:?}, told as {quote}"));
            }
        }
        let Some(file) = &wrote.file else { return };
        let Some(part) = message["parts"].get(1) else {
            return self.blame(format!("{id} comes without its file"));
        };
        match (part["path"].as_str(), part["error"].as_str()) {
            (Some(path), _) => {
                self.done.files += 1;
                match std::fs::read(path) {
                    Ok(bytes) if md5(&bytes) == *file => {}
                    Ok(_) => self.blame(format!("{path} is not the file that was sent")),
                    Err(error) => self.blame(format!("{path}: {error}")),
                }
            }
            // The media host failed for longer than the sidecar tries; it has to say so.
            (None, Some(_)) => self.done.files_missing += 1,
            (None, None) => self.blame(format!("{id} has neither a file nor an error: {part}")),
        }
    }

    /// Takes deliveries over: from here on they are the gateway's, whatever becomes of the ack.
    fn ack(&mut self, sidecar: &Sidecar, acks: Vec<(usize, usize, String)>) {
        if acks.is_empty() {
            return;
        }
        let ids: Vec<&str> = acks.iter().map(|(.., id)| id.as_str()).collect();
        let about = Asked::Ack(acks.iter().map(|(who, n, _)| (*who, *n)).collect());
        if !self.ask(sidecar, "inbound.ack", json!({ "deliveryIds": ids }), about) {
            return;
        }
        for (who, n, _) in acks {
            let conversation = &mut self.conversations[who];
            if n == conversation.taken {
                conversation.taken += 1;
                conversation.unanswered.push_back(n);
                self.done.taken += 1;
            }
        }
    }

    fn send(
        &mut self,
        workload: &Workload,
        bots: &[Bot],
        sidecar: &Sidecar,
        who: usize,
        n: usize,
        about: Asked,
    ) -> bool {
        let person = &workload.all[who];
        let wrote = &person.wrote[n];
        let mut params = json!({
            "to": person.id, "accountId": bots[person.bot].account, "idempotencyKey": format!("answer to {}", wrote.id),
        });
        let method = match &wrote.answer {
            Answer::Text(text) => {
                params["text"] = json!(text);
                "outbound.sendText"
            }
            Answer::File { path, caption, .. } => {
                params["path"] = json!(path);
                params["text"] = json!(caption);
                "outbound.sendMedia"
            }
        };
        self.ask(sidecar, method, params, about)
    }

    fn answered(
        &mut self,
        random: &mut Random,
        workload: &mut Workload,
        bots: &[Bot],
        sidecar: &Sidecar,
        asked: Asked,
        response: Value,
    ) {
        let error = response.get("error");
        match (asked, error) {
            (Asked::Login, _) => self.logins.push(response),
            (Asked::Ack(acked), None) => {
                for (who, n) in acked {
                    let conversation = &mut self.conversations[who];
                    conversation.confirmed = conversation.confirmed.max(n + 1);
                }
            }
            (Asked::Answer { who, n }, None) => {
                let result = &response["result"];
                self.conversations[who].asking = false;
                self.conversations[who].unanswered.pop_front();
                self.done.answered += 1;
                self.done.held += u64::from(result["status"] == "held");
                let person = &mut workload.all[who];
                // Of several wire messages none says all of it.
                if let (Answer::Text(text), [id]) =
                    (&person.wrote[n].answer, result["messageIds"].as_array().map_or(&[][..], Vec::as_slice))
                    && result["parts"] == 1
                    && let Some(id) = id.as_str().and_then(|id| id.parse().ok())
                {
                    person.heard.push((id, text.clone()));
                }
                if random.below(20) == 0 {
                    let client_ids = result["clientIds"].clone();
                    self.send(workload, bots, sidecar, who, n, Asked::Again { client_ids });
                }
            }
            (Asked::Answer { who, n }, Some(error)) => {
                self.conversations[who].asking = false;
                if error["data"]["retryable"] == true {
                    self.done.retried_sends += 1;
                    self.conversations[who].rest = Some(Instant::now() + Duration::from_secs(1));
                    println!("an answer has to be sent again: {error}");
                } else {
                    self.blame(format!("an answer was refused: {error}"));
                    self.conversations[who].unanswered.pop_front();
                    self.lost.insert((who, n));
                }
            }
            (Asked::Again { client_ids }, None) => {
                self.done.repeated_sends += 1;
                if response["result"]["clientIds"] != client_ids {
                    self.blame(format!("the same key gave {client_ids}, then {}", response["result"]["clientIds"]));
                }
            }
            (Asked::Stop(bot) | Asked::Start(bot), None) => self.forget_handed(workload, bot),
            (Asked::Other(_), None) => {}
            (Asked::Ack(_), Some(error)) => self.blame(format!("inbound.ack failed: {error}")),
            (Asked::Again { .. }, Some(error)) => self.blame(format!("a repeated send failed: {error}")),
            (Asked::Stop(_), Some(error)) => self.blame(format!("account.stop failed: {error}")),
            (Asked::Start(_), Some(error)) => self.blame(format!("account.start failed: {error}")),
            (Asked::Other(method), Some(error)) => self.blame(format!("{method} failed: {error}")),
        }
    }

    /// An account that starts again delivers again what was not acked.
    fn forget_handed(&mut self, workload: &Workload, bot: usize) {
        for (person, conversation) in workload.all.iter().zip(&mut self.conversations) {
            if person.bot == bot {
                conversation.handed = None;
                conversation.refused = None;
            }
        }
    }

    /// The sidecar has ended, and with it what is not written down.
    pub fn new_life(&mut self) {
        self.asked.clear();
        self.logins.clear();
        for conversation in &mut self.conversations {
            conversation.handed = None;
            conversation.slow = None;
            conversation.refused = None;
            conversation.asking = false;
            conversation.rest = None;
        }
    }

    /// Whether every message was taken, confirmed and answered.
    pub fn is_done(&self, workload: &Workload) -> bool {
        let whole = |(person, conversation): (&crate::workload::Person, &Conversation)| {
            conversation.confirmed == person.wrote.len() && conversation.unanswered.is_empty()
        };
        workload.all.iter().zip(&self.conversations).all(whole)
    }

    /// What is not done, for a person.
    pub fn left(&self, workload: &Workload) -> String {
        let sum = |count: fn(&Conversation) -> usize| self.conversations.iter().map(count).sum::<usize>();
        format!(
            "{} written, {} taken, {} confirmed, {} unanswered",
            workload.written,
            sum(|c| c.taken),
            sum(|c| c.confirmed),
            sum(|c| c.unanswered.len())
        )
    }
}
