//! The long poll, and answers to it of any size: a large one goes to disk and is read from there piece by piece. The server hands
//! out the same until it has been taken, so one that could not be read would be the end of its account.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::{Ilink, MAX_ANSWER, POLL_GRACE, Session, read_answer};
use super::error::{IlinkError, Reach};
use super::lenient;
use super::types::Verdict;

const NAME: &str = "getupdates";
/// The largest answer that is read at all.
const LARGEST: u64 = 256 * 1024 * 1024;
/// An answer of which fewer bytes come within `stalled`, and not its end, is given up. All of it may take longer than a poll may.
const AT_LEAST: usize = 64 * 1024;
/// Bytes of messages that are read from disk at once.
const BATCH: usize = 4 * 1024 * 1024;

/// Answer of `getupdates`.
#[derive(Debug, Default, Deserialize)]
pub struct Updates {
    /// The messages.
    #[serde(default)]
    pub msgs: Messages,
    /// The next cursor; opaque.
    #[serde(default)]
    pub get_updates_buf: Option<String>,
    /// How long the next poll may take, in milliseconds.
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    pub longpolling_timeout_ms: Option<u64>,
}

/// The messages of a poll, as they came: each is read by itself, so that one the reader does not understand spoils no other.
#[derive(Debug)]
pub enum Messages {
    /// All of them.
    Here(Vec<Box<RawValue>>),
    /// Too many to be held: they come batch by batch.
    OnDisk(Batches),
}

impl Messages {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Messages::Here(list) if list.is_empty())
    }
}

impl Default for Messages {
    fn default() -> Messages {
        Messages::Here(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Messages, D::Error> {
        Ok(Messages::Here(Option::deserialize(d)?.unwrap_or_default()))
    }
}

/// Batches of messages that are read from disk.
#[derive(Debug)]
pub struct Batches(mpsc::Receiver<Result<Vec<Box<RawValue>>, IlinkError>>);

impl Batches {
    /// The next ones.
    pub async fn next(&mut self) -> Option<Result<Vec<Box<RawValue>>, IlinkError>> {
        self.0.recv().await
    }
}

impl Ilink {
    /// Long-polls for messages behind `cursor`. The server holds the request for up to `hold`; no answer within that
    /// time is `Ok(None)`, not an error.
    pub async fn get_updates(
        &self,
        session: &Session,
        cursor: &str,
        hold: Duration,
    ) -> Result<Option<Updates>, IlinkError> {
        let request =
            self.posted(&session.endpoint, Some(&session.token), NAME, json!({ "get_updates_buf": cursor }))?;
        let mut response = match tokio::time::timeout(hold + POLL_GRACE, request.send()).await {
            Ok(answered) => answered.map_err(|error| IlinkError::of_request(NAME, error))?,
            Err(_) => return Ok(None),
        };
        self.reached(&response);
        let status = response.status();
        let mut body = Vec::with_capacity(response.content_length().map_or(0, |n| n.min(64 * 1024) as usize));
        let mut large: Option<Large> = None;
        let (mut moves_by, mut moved) = (Instant::now() + self.stalled, 0);
        loop {
            let chunk = match tokio::time::timeout_at(moves_by, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|error| IlinkError::of_request(NAME, error))?,
                Err(_) => {
                    let detail = "its answer stopped in the middle, or comes too slowly".to_owned();
                    return Err(IlinkError::Network { endpoint: NAME, reach: Reach::Timeout, detail });
                }
            };
            moved += chunk.as_ref().map_or(0, |chunk| chunk.len());
            if moved >= AT_LEAST {
                (moves_by, moved) = (Instant::now() + self.stalled, 0);
            }
            let is_last = chunk.is_none();
            body.extend_from_slice(&chunk.unwrap_or_default());
            if body.len() > MAX_ANSWER || (large.is_some() && (is_last || body.len() >= BATCH)) {
                large = Some(spill(self.spills_to(), large, std::mem::take(&mut body), is_last).await?);
            }
            if is_last {
                break;
            }
        }
        if !status.is_success() {
            return Err(IlinkError::Http { endpoint: NAME, status: status.as_u16() });
        }
        match large {
            None => read_answer(NAME, &body).map(Some),
            Some(Large { file, bytes, .. }) => {
                tracing::warn!(bytes, "a poll brought more than is held in memory; reading it from disk");
                read_large(file).await.map(Some)
            }
        }
    }
}

/// An answer on disk: its file, its bytes, and the bytes of a character that is not whole yet.
struct Large {
    file: File,
    bytes: u64,
    rest: Vec<u8>,
}

/// Appends to the answer on disk. Bytes that are no text spoil the text that they are in, not the answer, as where it is held.
async fn spill(
    dir: Option<Arc<Path>>,
    large: Option<Large>,
    piece: Vec<u8>,
    is_last: bool,
) -> Result<Large, IlinkError> {
    let written = tokio::task::spawn_blocking(move || {
        let mut large = match large {
            Some(large) => large,
            None => {
                let file = dir.map_or_else(tempfile::tempfile, tempfile::tempfile_in)?;
                Large { file, bytes: 0, rest: Vec::new() }
            }
        };
        large.rest.extend(piece);
        let (text, rest) = text_of(&large.rest, is_last);
        large.bytes += text.len() as u64;
        if large.bytes > LARGEST {
            return Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes")));
        }
        large.file.write_all(text.as_bytes())?;
        large.rest = rest;
        Ok(large)
    });
    let written = written.await.map_err(std::io::Error::other).and_then(|written| written);
    written.map_err(|error| {
        let detail = format!("it is too large for the memory, and not on disk: {error}");
        IlinkError::Malformed { endpoint: NAME, detail }
    })
}

/// The text of these bytes, and the bytes at their end that may be the beginning of a character, where more is to come.
fn text_of(bytes: &[u8], is_last: bool) -> (String, Vec<u8>) {
    let (mut text, mut rest) = (String::with_capacity(bytes.len()), Vec::new());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        // A character may be cut off at the end of the bytes, and nowhere else.
        let begins = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        let is_end = bytes.as_ptr_range().end == invalid.as_ptr_range().end;
        if begins && is_end && !is_last {
            rest = invalid.to_vec();
        } else if !invalid.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    (text, rest)
}

/// All of an answer but its verdict and its messages.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    get_updates_buf: Option<String>,
    #[serde(default, deserialize_with = "lenient::u64_opt")]
    longpolling_timeout_ms: Option<u64>,
}

async fn read_large(file: File) -> Result<Updates, IlinkError> {
    let (batches, received) = mpsc::channel(1);
    let head = tokio::task::spawn_blocking(move || {
        let verdict: Verdict = read(&file)?;
        let head: Head = read(&file)?;
        rewound(&file)?;
        Ok::<_, IlinkError>((verdict, head, file))
    });
    let broken = |error: tokio::task::JoinError| IlinkError::Malformed { endpoint: NAME, detail: error.to_string() };
    let (verdict, head, file) = head.await.map_err(broken)??;
    if let Some(refused) = IlinkError::from_verdict(NAME, verdict) {
        return Err(refused);
    }
    tokio::task::spawn_blocking(move || {
        let mut reader = serde_json::Deserializer::from_reader(buffered(&file));
        let messages = EachMessage { batch: Vec::new(), bytes: 0, to: &batches };
        if let Err(error) = messages.deserialize(&mut reader)
            && !batches.is_closed()
        {
            let _ = batches.blocking_send(Err(IlinkError::malformed(NAME, error)));
        }
    });
    Ok(Updates {
        msgs: Messages::OnDisk(Batches(received)),
        get_updates_buf: head.get_updates_buf,
        longpolling_timeout_ms: head.longpolling_timeout_ms,
    })
}

/// Reads what a type has of the answer; the messages are passed over.
fn read<T: DeserializeOwned>(file: &File) -> Result<T, IlinkError> {
    rewound(file)?;
    serde_json::from_reader(buffered(file)).map_err(|error| IlinkError::malformed(NAME, error))
}

fn buffered(file: &File) -> BufReader<&File> {
    BufReader::with_capacity(256 * 1024, file)
}

fn rewound(mut file: &File) -> Result<(), IlinkError> {
    let error = |error: std::io::Error| IlinkError::Malformed { endpoint: NAME, detail: error.to_string() };
    file.seek(SeekFrom::Start(0)).map(|_| ()).map_err(error)
}

/// Hands over the elements of `msgs`, batch by batch.
struct EachMessage<'a> {
    batch: Vec<Box<RawValue>>,
    bytes: usize,
    to: &'a mpsc::Sender<Result<Vec<Box<RawValue>>, IlinkError>>,
}

impl EachMessage<'_> {
    fn hand_over<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.bytes = 0;
        let gone = |_| E::custom("nobody wants them any more");
        self.to.blocking_send(Ok(std::mem::take(&mut self.batch))).map_err(gone)
    }
}

impl<'de> DeserializeSeed<'de> for EachMessage<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EachMessage<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer with messages")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "msgs" => fields.next_value_seed(List(&mut self))?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        self.hand_over()
    }
}

struct List<'a, 'b>(&'a mut EachMessage<'b>);

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(message) = list.next_element::<Box<RawValue>>()? {
            self.0.bytes += message.get().len();
            self.0.batch.push(message);
            if self.0.bytes >= BATCH {
                self.0.hand_over()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer on disk that came in pieces of 700,001 bytes: characters are cut in the middle.
    async fn spilled(body: &[u8]) -> Large {
        let mut large = None;
        for piece in body.chunks(700_001) {
            large = Some(spill(None, large, piece.to_vec(), false).await.unwrap());
        }
        spill(None, large, Vec::new(), true).await.unwrap()
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_spoil_the_text_that_they_are_in() {
        let long = "长".repeat(400_000);
        let mut body = format!(r#"{{"longpolling_timeout_ms":"35000","msgs":["{long}","#).into_bytes();
        body.extend(b"\"a\xff\xe9\x95b\"]}\xe9");
        body.pop();
        let updates = read_large(spilled(&body).await.file).await.unwrap();
        assert_eq!(updates.longpolling_timeout_ms, Some(35_000));
        let Messages::OnDisk(mut batches) = updates.msgs else { panic!() };
        let texts: Vec<String> =
            batches.next().await.unwrap().unwrap().iter().map(|raw| raw.get().to_owned()).collect();
        assert!(texts[0] == format!("\"{long}\""));
        assert_eq!(texts[1], "\"a\u{fffd}\u{fffd}b\"");
    }

    #[tokio::test]
    async fn an_answer_on_disk_is_read_batch_by_batch_wherever_its_cursor_stands() {
        let message = |n: usize| format!(r#"{{"message_id":{n},"text":"{}"}}"#, "x".repeat(1 << 20));
        let messages = (0..10).map(message).collect::<Vec<_>>().join(",");
        for body in [
            format!(r#"{{"ret":0,"get_updates_buf":"next","msgs":[{messages}]}}"#),
            format!(r#"{{"msgs":[{messages}],"extra":[{{"a":1}}],"get_updates_buf":"next"}}"#),
        ] {
            let Large { file, bytes, .. } = spilled(body.as_bytes()).await;
            assert!(bytes > 10 << 20);
            let updates = read_large(file).await.unwrap();
            assert_eq!(updates.get_updates_buf.as_deref(), Some("next"));
            let Messages::OnDisk(mut batches) = updates.msgs else { panic!() };
            let mut sizes = Vec::new();
            while let Some(batch) = batches.next().await {
                sizes.push(batch.unwrap().len());
            }
            assert_eq!(sizes, [4, 4, 2]);
        }
    }

    #[tokio::test]
    async fn what_is_refused_or_cut_on_disk_is_an_error() {
        let refused = spilled(br#"{"msgs":[],"ret":-14}"#).await.file;
        assert!(read_large(refused).await.unwrap_err().is_stale_token());
        let cut = spilled(br#"{"msgs":[{"message_id":1},{"mess"#).await.file;
        assert!(read_large(cut).await.is_err());
    }
}
