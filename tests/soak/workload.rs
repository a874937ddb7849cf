//! The workload: people, what each of them wrote, and what each is to be answered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ilink_simulator::{Content, Media, NewMessages, Quote};
use md5::{Digest as _, Md5};

use crate::common::{Bot, Random, World};
use crate::plan::PEOPLE;

/// A person and all that they wrote, in order.
pub struct Person {
    pub bot: usize,
    pub id: String,
    pub wrote: Vec<Wrote>,
    /// Answers with their ids, the newest last: what they quote.
    pub heard: Vec<(u64, String)>,
}

/// A message.
pub struct Wrote {
    pub id: u64,
    pub text: String,
    /// The MD5 of the file in it.
    pub file: Option<String>,
    /// The text that it quotes.
    pub quotes: Option<String>,
    pub answer: Answer,
}

/// What a message is to be answered.
#[derive(Clone)]
pub enum Answer {
    Text(String),
    File { path: PathBuf, name: String, md5: String, caption: Option<String> },
}

pub struct Workload {
    pub all: Vec<Person>,
    /// Who wrote a message, and which of theirs it is.
    pub by_message: HashMap<String, (usize, usize)>,
    pub written: usize,
}

impl Workload {
    pub fn new(bots: usize) -> Workload {
        let person = |n: usize, p: u64| Person {
            bot: n,
            id: format!("person{n}-{p}@im.wechat"),
            wrote: Vec::new(),
            heard: Vec::new(),
        };
        let all = (0..bots).flat_map(|n| (0..PEOPLE).map(move |p| person(n, p))).collect();
        Workload { all, by_message: HashMap::new(), written: 0 }
    }

    /// Somebody writes something. Files for answers are made in `outgoing`.
    pub fn write(&mut self, random: &mut Random, world: &World, bots: &[Bot], outgoing: &Path) {
        let who = random.below(self.all.len() as u64) as usize;
        self.write_as(who, random, world, bots, outgoing);
    }

    /// A certain one writes something.
    pub fn write_as(&mut self, who: usize, random: &mut Random, world: &World, bots: &[Bot], outgoing: &Path) {
        let (person, n) = (&mut self.all[who], self.written);
        let text = format!("message {n} of person {who}");
        let (quote, quotes) = match random.below(10) {
            0 => person.something_said(random),
            _ => None,
        }
        .unzip();
        let (file, content) = match random.below(10) {
            0 => {
                let bytes = bytes(random);
                (Some(md5(&bytes)), Some(as_content(random, bytes, n)))
            }
            _ => (None, None),
        };
        let new = NewMessages {
            content: content.into_iter().collect(),
            quote,
            ..NewMessages::text(&bots[person.bot].id, &person.id, &text)
        };
        let id = world.control.push(&new).unwrap()[0];
        let answer = answer(random, n, who, outgoing);
        self.by_message.insert(id.to_string(), (who, person.wrote.len()));
        person.wrote.push(Wrote { id, text, file, quotes, answer });
        self.written += 1;
    }
}

impl Person {
    /// One of the last things that were said in this conversation.
    fn something_said(&self, random: &mut Random) -> Option<(Quote, String)> {
        let own = self.wrote.iter().rev().take(10).map(|wrote| (wrote.id, wrote.text.clone()));
        let heard = self.heard.iter().rev().take(10).cloned();
        let said: Vec<_> = own.chain(heard).collect();
        let (id, text) = said.get(random.below(said.len().max(1) as u64) as usize)?;
        Some((Quote::of(*id), text.clone()))
    }
}

fn answer(random: &mut Random, n: usize, who: usize, outgoing: &Path) -> Answer {
    let text = format!("answer {n} to person {who}");
    match random.below(100) {
        // A file that was sent before is not uploaded again.
        0..3 => file(outgoing, format!("price-list-{who}.txt"), format!("prices for {who}").into_bytes(), Some(text)),
        3..10 => {
            let bytes = bytes(random);
            let caption = (random.below(2) == 0).then_some(text);
            file(outgoing, format!("report-{n}.bin"), bytes, caption)
        }
        // Several wire messages.
        10..12 => Answer::Text(format!("{text}: {}", "and so on ".repeat(900).trim_end())),
        _ => Answer::Text(text),
    }
}

fn file(outgoing: &Path, name: String, bytes: Vec<u8>, caption: Option<String>) -> Answer {
    let path = outgoing.join(&name);
    std::fs::write(&path, &bytes).unwrap();
    Answer::File { path, name, md5: md5(&bytes), caption }
}

fn as_content(random: &mut Random, bytes: Vec<u8>, n: usize) -> Content {
    let media = Media::bytes(bytes);
    match random.below(2) {
        0 => Content::Image { media, mid_size: None },
        _ => Content::File { media, file_name: format!("note-{n}.bin"), md5: None, len: None },
    }
}

/// Mostly small, now and then a megabyte.
fn size(random: &mut Random) -> u64 {
    match random.below(50) {
        0 => 1 << 20,
        _ => 1 + random.below(64 * 1024),
    }
}

fn bytes(random: &mut Random) -> Vec<u8> {
    let size = size(random);
    let mut bytes = Vec::with_capacity(size as usize + 8);
    while bytes.len() < size as usize {
        bytes.extend_from_slice(&random.below(u64::MAX).to_le_bytes());
    }
    bytes.truncate(size as usize);
    bytes
}

/// The MD5 of bytes, in hex.
pub fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
