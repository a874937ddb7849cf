//! The long poll, and answers to it of any size: a large one goes to disk and is read from there piece by piece. The server hands
//! out the same until it has been taken, so one that could not be read would be the end of its account.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::client::{Ilink, MAX_ANSWER, POLL_GRACE, Session, read_answer, sort};
use super::error::{IlinkError, Reach};
use super::types::{Updates, Verdict};

const NAME: &str = "getupdates";
/// The largest answer that is read at all.
const LARGEST: u64 = 256 * 1024 * 1024;
/// An answer of which nothing comes for so long is given up. All of it may take longer than a poll may.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes of messages that are read from disk at once.
const BATCH: usize = 4 * 1024 * 1024;

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
            Ok(answered) => answered.map_err(|error| sort(NAME, error))?,
            Err(_) => return Ok(None),
        };
        self.reached(&response);
        let status = response.status();
        let mut body = Vec::with_capacity(response.content_length().map_or(0, |n| n.min(64 * 1024) as usize));
        let mut large: Option<(File, u64)> = None;
        loop {
            let chunk = match tokio::time::timeout(STALLED, response.chunk()).await {
                Ok(chunk) => chunk.map_err(|error| sort(NAME, error))?,
                Err(_) => {
                    let detail = "its answer stopped in the middle".to_owned();
                    return Err(IlinkError::Network { endpoint: NAME, reach: Reach::Timeout, detail });
                }
            };
            let is_last = chunk.is_none();
            body.extend_from_slice(&chunk.unwrap_or_default());
            if body.len() > MAX_ANSWER || (large.is_some() && (is_last || body.len() >= BATCH)) {
                large = Some(spill(large, std::mem::take(&mut body)).await?);
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
            Some((file, bytes)) => {
                tracing::warn!(bytes, "a poll brought more than is held in memory; reading it from disk");
                read_large(file).await.map(Some)
            }
        }
    }
}

/// Appends to the answer on disk.
async fn spill(large: Option<(File, u64)>, piece: Vec<u8>) -> Result<(File, u64), IlinkError> {
    let written = tokio::task::spawn_blocking(move || {
        let (mut file, before) = match large {
            Some(large) => large,
            None => (tempfile::tempfile()?, 0),
        };
        let bytes = before + piece.len() as u64;
        if bytes > LARGEST {
            return Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes")));
        }
        file.write_all(&piece)?;
        Ok((file, bytes))
    });
    let written = written.await.map_err(std::io::Error::other).and_then(|written| written);
    written.map_err(|error| {
        let detail = format!("it is too large for the memory, and not on disk: {error}");
        IlinkError::Malformed { endpoint: NAME, detail }
    })
}

/// All of an answer but its messages.
#[derive(Deserialize)]
struct Head {
    #[serde(flatten)]
    verdict: Verdict,
    #[serde(default)]
    get_updates_buf: Option<String>,
    #[serde(default)]
    longpolling_timeout_ms: Option<u64>,
}

async fn read_large(mut file: File) -> Result<Updates, IlinkError> {
    let (batches, received) = mpsc::channel(1);
    let head = tokio::task::spawn_blocking(move || {
        file.seek(SeekFrom::Start(0)).map_err(unread)?;
        let head = read_head(&file)?;
        file.seek(SeekFrom::Start(0)).map_err(unread)?;
        Ok::<_, IlinkError>((head, file))
    });
    let (head, file) = head.await.map_err(unread)??;
    if let Some(refused) = IlinkError::from_verdict(NAME, head.verdict) {
        return Err(refused);
    }
    tokio::task::spawn_blocking(move || {
        let mut reader = serde_json::Deserializer::from_reader(BufReader::with_capacity(256 * 1024, &file));
        let messages = EachMessage { batch: Vec::new(), bytes: 0, to: &batches };
        if let Err(error) = messages.deserialize(&mut reader)
            && !batches.is_closed()
        {
            let _ = batches.blocking_send(Err(unread(error)));
        }
    });
    Ok(Updates {
        msgs: Messages::OnDisk(Batches(received)),
        get_updates_buf: head.get_updates_buf,
        longpolling_timeout_ms: head.longpolling_timeout_ms,
    })
}

fn unread(error: impl fmt::Display) -> IlinkError {
    IlinkError::Malformed { endpoint: NAME, detail: error.to_string() }
}

/// Everything but the messages, which are passed over.
fn read_head(file: &File) -> Result<Head, IlinkError> {
    struct Rest;
    impl<'de> Visitor<'de> for Rest {
        type Value = serde_json::Map<String, serde_json::Value>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an answer")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
            let mut rest = serde_json::Map::new();
            while let Some(name) = fields.next_key::<String>()? {
                match name.as_str() {
                    "ret" | "errcode" | "errmsg" | "get_updates_buf" | "longpolling_timeout_ms" => {
                        rest.insert(name, fields.next_value()?);
                    }
                    _ => drop(fields.next_value::<IgnoredAny>()?),
                }
            }
            Ok(rest)
        }
    }
    let mut reader = serde_json::Deserializer::from_reader(BufReader::with_capacity(256 * 1024, file));
    let rest = serde::Deserializer::deserialize_map(&mut reader, Rest).map_err(unread)?;
    serde_json::from_value(serde_json::Value::Object(rest)).map_err(unread)
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

    #[tokio::test]
    async fn an_answer_on_disk_is_read_batch_by_batch_wherever_its_cursor_stands() {
        let message = |n: usize| format!(r#"{{"message_id":{n},"text":"{}"}}"#, "x".repeat(1 << 20));
        let messages = (0..10).map(message).collect::<Vec<_>>().join(",");
        for body in [
            format!(r#"{{"ret":0,"get_updates_buf":"next","msgs":[{messages}]}}"#),
            format!(r#"{{"msgs":[{messages}],"extra":[{{"a":1}}],"get_updates_buf":"next"}}"#),
        ] {
            let (file, bytes) = spill(None, body.into_bytes()).await.unwrap();
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
        let refused = spill(None, br#"{"msgs":[],"ret":-14}"#.to_vec()).await.unwrap().0;
        assert!(read_large(refused).await.unwrap_err().is_stale_token());
        let cut = spill(None, br#"{"msgs":[{"message_id":1},{"mess"#.to_vec()).await.unwrap().0;
        assert!(read_large(cut).await.is_err());
    }
}
