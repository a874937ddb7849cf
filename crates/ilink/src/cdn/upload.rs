//! From a file to the media host: encrypted while it is sent. Its disk work blocks a thread for moments only.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use url::Url;

use super::cipher::{Encryptor, cipher_len};
use super::client::{Cdn, accepted, refused_or_network, retried};
use super::error::CdnError;
use super::key::MediaKey;
use super::progress::Progress;

/// Bytes that are read at once.
const READ: usize = 256 * 1024;
/// Bytes that are handed to the network at once: few, so that it shows that something moves on a slow line too.
const PIECE: usize = 32 * 1024;

/// Where iLink said that a file goes.
#[derive(Clone, Debug)]
pub struct UploadTarget {
    /// A whole address; comes first.
    pub full_url: Option<String>,
    /// What the media host is asked with.
    pub upload_param: String,
    /// The name under which it was announced.
    pub filekey: String,
}

/// A file that is at the media host: what a message needs to say to show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// What it is fetched with.
    pub query_param: String,
    /// Its key, as `media.aes_key` says it.
    pub aes_key: String,
    /// The size of the ciphertext, in bytes.
    pub cipher_size: u64,
}

impl Cdn {
    /// Sends a file of `size` bytes, and returns how it is fetched. A file of another size by now is an error; a 4xx is final,
    /// anything else is tried three times. It may take as long as something moves.
    pub async fn upload(
        &self,
        target: &UploadTarget,
        key: &MediaKey,
        file: &Path,
        size: u64,
    ) -> Result<Uploaded, CdnError> {
        let url = self.upload_url(target)?;
        retried(|| self.upload_once(url.clone(), key, file, size)).await
    }

    /// The same for a small file that is in memory.
    pub async fn upload_bytes(
        &self,
        target: &UploadTarget,
        key: &MediaKey,
        bytes: &[u8],
    ) -> Result<Uploaded, CdnError> {
        let url = self.upload_url(target)?;
        let (mut encryptor, mut encrypted) = (Encryptor::new(key), Vec::new());
        encryptor.update(bytes, &mut encrypted);
        encryptor.finish(&mut encrypted);
        retried(|| async {
            let cipher_size = encrypted.len() as u64;
            let put = self.put(url.clone(), cipher_size, encrypted.clone().into());
            let put = tokio::time::timeout(self.stalls.upload, put).await;
            let query_param = put.map_err(|_| CdnError::stalled(self.stalls.upload))??;
            Ok(Uploaded { query_param, aes_key: key.to_base64(), cipher_size })
        })
        .await
    }

    /// Sends a file that is encrypted already, and returns what it is fetched with.
    pub async fn upload_ciphertext(&self, target: &UploadTarget, file: &Path) -> Result<String, CdnError> {
        let url = self.upload_url(target)?;
        retried(|| async {
            let unreadable = |error: std::io::Error| CdnError::file(file, error);
            let open = tokio::fs::File::open(file).await.map_err(unreadable)?;
            let size = open.metadata().await.map_err(unreadable)?.len();
            let sent = self.put(url.clone(), size, open.into());
            // Nobody watches how it moves: the whole of it has the time that one stall may take, and a second for each 64 KiB.
            let within = self.stalls.upload + Duration::from_secs(size >> 16);
            tokio::time::timeout(within, sent).await.map_err(|_| CdnError::stalled(within))?
        })
        .await
    }

    fn upload_url(&self, target: &UploadTarget) -> Result<Url, CdnError> {
        match &target.full_url {
            Some(url) => Url::parse(url).map_err(|error| CdnError::Denied(error.to_string())),
            None => {
                let query = [("encrypted_query_param", target.upload_param.as_str()), ("filekey", &target.filekey)];
                self.url("upload", &query)
            }
        }
    }

    async fn upload_once(&self, url: Url, key: &MediaKey, file: &Path, size: u64) -> Result<Uploaded, CdnError> {
        let moved = Arc::new(Moved::new());
        let broken = Arc::new(Mutex::new(None));
        let source = Source { place: file.to_owned(), file: None, encryptor: Encryptor::new(key), left: size };
        let (counts, failed, watcher) = (moved.clone(), broken.clone(), self.watcher.clone());
        let total = Some(cipher_len(size));
        let pieces = futures_util::stream::unfold(
            (Some(source), Vec::<Vec<u8>>::new().into_iter(), 0),
            move |(mut source, mut ready, asked)| {
                let (counts, failed, watcher) = (counts.clone(), failed.clone(), watcher.clone());
                async move {
                    loop {
                        // Who asks for the next piece has sent the one before.
                        counts.now();
                        watcher.tell(Progress { upload: true, moved: asked, total });
                        if let Some(piece) = ready.next() {
                            let asked = asked + piece.len() as u64;
                            return Some((Ok::<Vec<u8>, std::io::Error>(piece), (source, ready, asked)));
                        }
                        let reading = source.take()?;
                        let read = tokio::task::spawn_blocking(move || reading.next()).await;
                        match read.unwrap_or_else(|error| Err(CdnError::file(Path::new(""), error))) {
                            Ok((pieces, rest)) => (source, ready) = (rest, pieces.into_iter()),
                            Err(error) => {
                                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                                return Some((
                                    Err(std::io::Error::other("the file cannot be sent")),
                                    (None, ready, asked),
                                ));
                            }
                        }
                    }
                }
            },
        );
        let body = reqwest::Body::wrap_stream(pieces);
        let answered = tokio::select! {
            answered = self.put(url, cipher_len(size), body) => answered.map(|query_param| Uploaded {
                query_param,
                aes_key: key.to_base64(),
                cipher_size: cipher_len(size),
            }),
            () = moved.stalled(self.stalls.upload) => Err(CdnError::stalled(self.stalls.upload)),
        };
        if answered.is_ok() {
            self.watcher.tell(Progress { upload: true, moved: cipher_len(size), total });
        }
        // A file that cannot be read, or has changed, says more than the connection that broke because of it.
        let failed = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(answered, Err)
    }

    /// Sends a ciphertext once; returns what it is fetched with.
    async fn put(&self, url: Url, cipher_size: u64, body: reqwest::Body) -> Result<String, CdnError> {
        let request = self
            .client_for(&url)?
            .post(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, cipher_size)
            .body(body);
        let response = accepted(request.send().await.map_err(refused_or_network)?)?;
        let param = response.headers().get("x-encrypted-param").and_then(|param| param.to_str().ok());
        let param = param.filter(|param| !param.is_empty());
        let param = param.ok_or_else(|| CdnError::Answer("an upload without x-encrypted-param".to_owned()))?;
        Ok(param.to_owned())
    }
}

/// When something last moved.
struct Moved(Mutex<Instant>);

impl Moved {
    fn new() -> Moved {
        Moved(Mutex::new(Instant::now()))
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns when nothing has moved for so long.
    async fn stalled(&self, time: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(left) = time.checked_sub(since.elapsed()) else { return };
            tokio::time::sleep(left).await;
        }
    }
}

/// What is still to be sent of a file.
struct Source {
    place: PathBuf,
    /// Opened at the first read.
    file: Option<File>,
    encryptor: Encryptor,
    left: u64,
}

impl Source {
    /// The next pieces, encrypted, and what is left behind them. Blocks.
    fn next(mut self) -> Result<(Vec<Vec<u8>>, Option<Source>), CdnError> {
        let unreadable = |error: std::io::Error| CdnError::file(&self.place, error);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.place).map_err(unreadable)?),
        };
        let mut plain = vec![0; READ];
        let mut read = 0;
        while read < READ {
            match file.read(&mut plain[read..]).map_err(unreadable)? {
                0 => break,
                n => read += n,
            }
        }
        let is_last = read < READ;
        let Some(left) = self.left.checked_sub(read as u64).filter(|left| !is_last || *left == 0) else {
            // The last block goes out only when the file is what it was: without it the upload is incomplete.
            return Err(CdnError::Changed { path: self.place });
        };
        let mut encrypted = Vec::with_capacity(read + 16);
        self.encryptor.update(&plain[..read], &mut encrypted);
        let rest = match is_last {
            true => {
                self.encryptor.finish(&mut encrypted);
                None
            }
            false => Some(Source { left, ..self }),
        };
        Ok((encrypted.chunks(PIECE).map(<[u8]>::to_vec).collect(), rest))
    }
}
