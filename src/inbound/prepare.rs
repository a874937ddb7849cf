//! What a message needs before it can be delivered: its media in files, its quote looked up.
//!
//! A conversation waits for that, for a bounded time that begins with its turn, and no other does. What cannot be had is said in
//! the part; the text is never lost with it.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::normalize::{Draft, MediaItem, QuoteItem, VOICE, WHOLE, cut_quote, readable};
use super::quote::selected;
use crate::contract::{InboundMessage, Part, PartType, Quote};
use crate::media::{Bounds, Kind, Library, Reserved, Space, Stored, extension_of, kind_of, mime_of, voice};
use crate::store::{AccountNo, Store};
use crate::supervise::lock;
use ilink::cdn::{Cdn, CdnError, Downloaded, MediaSource};

/// How long a file may take, from its turn on.
const FILE: Duration = Duration::from_secs(120);
/// How long all files of a message may take, from the first one's turn on.
const MESSAGE: Duration = Duration::from_secs(600);
/// How long a file is asked for while the media host is in trouble, with pauses that double from the first one.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Files that are fetched at once, over all conversations. They wait for the network mostly, and hold no thread.
const AT_ONCE: usize = 32;
/// Files of one message that are fetched at once: nobody takes all the turns.
const OF_A_MESSAGE: usize = 2;
/// What WeChat's voice messages are.
const SILK: &str = "audio/silk";
/// Files that are decoded at once.
const DECODED: usize = 2;

/// What the preparation uses now; asked anew for every message.
pub struct Resources {
    /// The media host.
    pub cdn: Cdn,
    /// The largest file, in bytes.
    pub limit: u64,
    /// How much room received files have.
    pub room: Bounds,
    /// How old a quoted message may be, in milliseconds.
    pub quotes_ms: i64,
}

/// A file as it goes into a part.
struct Attachment {
    stored: Stored,
    /// How long it plays, where that is known from the file, in milliseconds.
    duration_ms: Option<u64>,
    /// What is wrong with it although it is there.
    problem: Option<String>,
}

/// Makes drafts whole. Clones share it.
#[derive(Clone)]
pub struct Preparer {
    store: Store,
    library: Library,
    space: Space,
    resources: Arc<dyn Fn() -> Resources + Send + Sync>,
    transfers: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
}

/// Whose files are fetched, and since when.
struct Owner<'a> {
    number: AccountNo,
    account: &'a str,
    key: u64,
    at_once: Semaphore,
    /// When the first of its files had its turn.
    began: OnceLock<Instant>,
}

impl Preparer {
    /// With files in `library`.
    pub fn new(
        store: Store,
        library: Library,
        space: Space,
        resources: Arc<dyn Fn() -> Resources + Send + Sync>,
    ) -> Preparer {
        let (transfers, decoders) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(DECODED)));
        Preparer { store, library, space, resources, transfers, decoders }
    }

    /// Makes a draft whole. It takes as long as its media.
    pub async fn prepare(&self, account: AccountNo, key: u64, draft: Draft) -> InboundMessage {
        let Draft { mut message, media, quote, whole } = draft;
        if let Some(lookup) = quote
            && let Some(quote) = &mut message.quote
        {
            self.look_up(account, &message.account_id, &message.from, lookup, quote).await;
        }
        let id = message.account_id.clone();
        let owner =
            Owner { number: account, account: &id, key, at_once: Semaphore::new(OF_A_MESSAGE), began: OnceLock::new() };
        if let Some(whole) = whole
            && let Some(n) = message.parts.len().checked_sub(1)
        {
            match self.keep_whole(&owner, n, whole).await {
                Ok(stored) => fill(&mut message.parts[n], Attachment { stored, duration_ms: None, problem: None }),
                Err(error) => {
                    tracing::error!(account = %id, message_id = %message.message_id, error, "a long message was cut");
                    message.parts[n].error = Some(format!("the whole message could not be written ({error})"));
                }
            }
        }
        let fetched = join_all(media.iter().map(|item| self.fetch_in_turn(&owner, item))).await;
        for (item, result) in media.iter().zip(fetched) {
            let part = match item.part {
                Some(n) => message.parts.get_mut(n),
                None => message.quote.as_mut().and_then(|quote| quote.media.as_mut()),
            };
            let Some(part) = part else { continue };
            match result {
                Ok(attachment) => {
                    if let Some(problem) = &attachment.problem {
                        tracing::warn!(account = %id, message_id = %message.message_id, problem, "a media part is damaged");
                    }
                    fill(part, attachment);
                }
                Err(error) => {
                    tracing::warn!(account = %id, message_id = %message.message_id, error, "a media part has no file");
                    part.error = Some(error);
                }
            }
        }
        message.text = readable(&message.parts);
        message
    }

    /// Writes all of a message that was cut into the file that its last part is.
    async fn keep_whole(&self, owner: &Owner<'_>, n: usize, whole: String) -> Result<Stored, String> {
        let reserved = self.reserve(owner, whole.len() as u64, (self.resources)().room).await;
        let reserved = reserved.map_err(|error| error.to_string())?;
        let (library, of, key) = (self.library.clone(), owner.account.to_owned(), owner.key);
        let write = move || match library.find(&of, key, n) {
            Some(found) => Ok(found),
            None => {
                let written = library.write(&of, key, n, WHOLE, whole.as_bytes())?;
                reserved.filled(written.size);
                Ok(written)
            }
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).and_then(|done| done);
        let stored = written.map_err(|error| error.to_string())?;
        Ok(Stored { mime: "text/plain".to_owned(), ..stored })
    }

    /// The file of an item, when it is its turn, within its time.
    async fn fetch_in_turn(&self, owner: &Owner<'_>, item: &MediaItem) -> Result<Attachment, String> {
        // The semaphores are never closed.
        let _of_message = owner.at_once.acquire().await;
        let permit = self.transfers.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let now = Instant::now();
        let began = *owner.began.get_or_init(|| now);
        let deadline = (now + FILE).min(began + MESSAGE);
        let fetched = tokio::time::timeout_at(deadline, self.fetch(owner, item, permit)).await;
        // Of a file whose turn came too late all of the message's time is said.
        let seconds = if deadline <= now { MESSAGE } else { deadline - now }.as_secs();
        fetched.unwrap_or_else(|_| Err(CdnError::TimedOut { seconds }.to_string()))
    }

    /// The file of an item.
    async fn fetch(
        &self,
        owner: &Owner<'_>,
        item: &MediaItem,
        permit: OwnedSemaphorePermit,
    ) -> Result<Attachment, String> {
        // The quote's file goes behind the parts.
        let n = item.part.unwrap_or(usize::from(u16::MAX));
        let (library, of, key) = (self.library.clone(), owner.account.to_owned(), owner.key);
        let found = tokio::task::spawn_blocking(move || library.find(&of, key, n)).await;
        let mut stored = match found {
            Ok(Some(found)) => found,
            _ => self.download(owner, n, item, permit).await?,
        };
        if let Some(declared) = declared(item, &stored.mime) {
            stored.mime = declared.to_owned();
        }
        if !item.is_voice || stored.mime != SILK {
            return self.attached(stored, item.is_voice).await;
        }
        // What it is decoded to is many times as large.
        let Resources { limit, room, .. } = (self.resources)();
        match self.reserve(owner, limit.min(voice::LARGEST), room).await {
            Ok(reserved) => {
                let attached = self.attached(stored, true).await?;
                reserved.filled(attached.stored.size);
                Ok(attached)
            }
            Err(error) => {
                let problem = format!("the voice message is as WeChat sent it: {error}");
                Ok(Attachment { stored, duration_ms: None, problem: Some(problem) })
            }
        }
    }

    async fn download(
        &self,
        owner: &Owner<'_>,
        n: usize,
        item: &MediaItem,
        permit: OwnedSemaphorePermit,
    ) -> Result<Stored, String> {
        let source = item.source.as_ref().map_err(Clone::clone)?;
        let (library, of, key, name) = (self.library.clone(), owner.account.to_owned(), owner.key, item.name.clone());
        let place = tokio::task::spawn_blocking(move || library.place(&of, key, n, &name)).await;
        let file = place
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{}: {error}", self.library.root().display()))?;
        let downloaded = self.patiently(owner, source, &file, permit).await.map_err(|error| error.to_string())?;
        let told = mime_of(&downloaded.head, Some(&item.name));
        let mime = declared(item, &told).map_or_else(|| told.into_owned(), str::to_owned);
        let stored = Stored { path: file, size: downloaded.size, mime, name: item.name.clone() };
        tokio::task::spawn_blocking(move || named(stored)).await.map_err(|error| error.to_string())
    }

    /// Fetches a file, and waits out short trouble at the media host; others are fetched meanwhile.
    async fn patiently(
        &self,
        owner: &Owner<'_>,
        source: &MediaSource,
        file: &Path,
        mut permit: OwnedSemaphorePermit,
    ) -> Result<Downloaded, CdnError> {
        let (began, mut wait) = (Instant::now(), FIRST_WAIT);
        let reserved: Mutex<Option<Reserved>> = Mutex::default();
        let keep = |room: Option<Reserved>| std::mem::replace(&mut *lock(&reserved), room);
        loop {
            let Resources { cdn, limit, room, .. } = (self.resources)();
            let admit = |bytes: u64| -> BoxFuture<'_, Result<(), CdnError>> {
                Box::pin(async move {
                    // A try before this one gives back what it had.
                    keep(None);
                    let room = self.reserve(owner, bytes, room).await?;
                    keep(Some(room));
                    Ok(())
                })
            };
            match cdn.download(source, limit, file, &admit).await {
                Err(error) if error.is_transient() && began.elapsed() + wait < PATIENCE => {
                    keep(None);
                    drop(permit);
                    tracing::debug!(%error, "a media file is asked for again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    let again = self.transfers.clone().acquire_owned().await;
                    permit = again.map_err(|error| CdnError::Answer(error.to_string()))?;
                }
                Ok(downloaded) => {
                    if let Some(reserved) = keep(None) {
                        reserved.filled(downloaded.size);
                    }
                    return Ok(downloaded);
                }
                failed => return failed,
            }
        }
    }

    /// Room for a file, where there is some.
    async fn reserve(&self, owner: &Owner<'_>, bytes: u64, bounds: Bounds) -> Result<Reserved, CdnError> {
        let no_room = |error: String| CdnError::NoSpace(error);
        // Whose messages wait is not guessed: their files would go.
        let waiting = self.store.waiting_keys(owner.number).await.map_err(|error| no_room(error.to_string()))?;
        let (space, account, key) = (self.space.clone(), owner.account.to_owned(), owner.key);
        let reserved = tokio::task::spawn_blocking(move || space.reserve(&account, key, bytes, bounds, &waiting)).await;
        reserved.map_err(|error| no_room(error.to_string()))?.map_err(|error| no_room(error.to_string()))
    }

    /// A file, made WAV if it is a voice message.
    async fn attached(&self, stored: Stored, is_voice: bool) -> Result<Attachment, String> {
        if !is_voice {
            return Ok(Attachment { stored, duration_ms: None, problem: None });
        }
        let _permit = self.decoders.acquire().await;
        let limit = (self.resources)().limit;
        tokio::task::spawn_blocking(move || heard(stored, limit)).await.map_err(|error| error.to_string())
    }

    async fn look_up(&self, account: AccountNo, id: &str, peer: &str, lookup: QuoteItem, quote: &mut Quote) {
        if let Some(key) = lookup.id {
            match self.store.quoted(account, peer, key, (self.resources)().quotes_ms).await {
                Ok(Some(known)) => {
                    quote.resolved = true;
                    quote.from_bot = Some(known.from_bot);
                    quote.text = Some(known.text).filter(|text| !text.is_empty()).or_else(|| quote.text.take());
                    let (library, of) = (self.library.clone(), id.to_owned());
                    let first = tokio::task::spawn_blocking(move || library.first(&of, key)).await;
                    if let Ok(Some(stored)) = first {
                        let is_voice = Path::new(&stored.name).file_stem().is_some_and(|stem| stem == VOICE);
                        if let Ok(attachment) = self.attached(stored, is_voice).await {
                            let mut part = Part::of(type_of(&attachment.stored.mime));
                            part.file_name = Some(attachment.stored.name.clone());
                            fill(&mut part, attachment);
                            quote.media = Some(part);
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(account = id, %error, "a quoted message could not be looked up"),
            }
        }
        if let (Some(partial), Some(text)) = (&lookup.partial, &quote.text) {
            quote.selected_text = selected(text, partial);
        }
        cut_quote(quote);
    }
}

/// What the message says that a voice message is, where its bytes say something else: Speex and raw sound have no mark, and
/// look like anything.
fn declared(item: &MediaItem, told: &str) -> Option<&'static str> {
    item.declared.filter(|_| !told.starts_with("audio/"))
}

/// Gives a file without an extension the one of its kind. Blocks.
fn named(mut stored: Stored) -> Stored {
    if stored.path.extension().is_none()
        && let Some(extension) = extension_of(&stored.mime)
    {
        let named = stored.path.with_extension(extension);
        if std::fs::rename(&stored.path, &named).is_ok() {
            stored.path = named;
        }
    }
    stored
}

/// A voice message as everything can play it, unless that takes more than `limit` bytes. What cannot be decoded stays as
/// WeChat sent it. Blocks.
fn heard(stored: Stored, limit: u64) -> Attachment {
    if stored.mime != SILK {
        let duration_ms = voice::wav_duration_ms(&stored.path);
        return Attachment { stored, duration_ms, problem: None };
    }
    match voice::decode(&stored.path, limit).and_then(|path| Ok((path.metadata()?.len(), path))) {
        Ok((size, path)) => {
            let duration_ms = voice::wav_duration_ms(&path);
            let name = Path::new(&stored.name).with_extension("wav").to_string_lossy().into_owned();
            Attachment { stored: Stored { path, size, mime: "audio/wav".to_owned(), name }, duration_ms, problem: None }
        }
        Err(error) => {
            let problem = format!("the voice message cannot be decoded, it is as WeChat sent it: {error}");
            Attachment { stored, duration_ms: None, problem: Some(problem) }
        }
    }
}

fn fill(part: &mut Part, Attachment { stored, duration_ms, problem }: Attachment) {
    part.path = Some(stored.path.to_string_lossy().into_owned());
    part.size_bytes = Some(stored.size);
    part.mime = Some(stored.mime);
    part.duration_ms = duration_ms.or(part.duration_ms);
    part.error = problem;
}

fn type_of(mime: &str) -> PartType {
    match kind_of(mime) {
        Kind::Image => PartType::Image,
        Kind::Video => PartType::Video,
        Kind::Audio => PartType::Voice,
        Kind::File => PartType::File,
    }
}
