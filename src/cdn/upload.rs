//! From a file to the media host: encrypted while it is sent, checked while it is read.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use md5::{Digest as _, Md5};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use url::Url;

use super::cipher::{Encryptor, cipher_len};
use super::client::{Cdn, accepted, retried};
use super::error::CdnError;
use super::key::{MediaKey, hex};

/// Pieces that wait between the disk and the network.
const PIECES: usize = 4;
const PIECE: usize = 256 * 1024;

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
    /// Sends a file of `size` bytes with this MD5 (hex), and returns how it is fetched. A file that is another one by
    /// now is an error; a 4xx is final, anything else is tried three times.
    pub async fn upload(
        &self,
        target: &UploadTarget,
        key: &MediaKey,
        file: &Path,
        size: u64,
        md5: &str,
    ) -> Result<Uploaded, CdnError> {
        let url = self.upload_url(target)?;
        retried(|| self.upload_once(url.clone(), key, file, size, md5)).await
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
        retried(|| self.put(url.clone(), key, encrypted.len() as u64, encrypted.clone().into())).await
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

    async fn upload_once(
        &self,
        url: Url,
        key: &MediaKey,
        file: &Path,
        size: u64,
        md5: &str,
    ) -> Result<Uploaded, CdnError> {
        let (pieces, body) = mpsc::channel(PIECES);
        let reader = {
            let (key, file, md5) = (key.clone(), file.to_owned(), md5.to_owned());
            tokio::task::spawn_blocking(move || read(&file, &key, size, &md5, &pieces))
        };
        let body = futures_util::stream::unfold(body, |mut body| async {
            let piece: Result<Vec<u8>, std::io::Error> = body.recv().await?;
            Some((piece, body))
        });
        let answered = self.put(url, key, cipher_len(size), reqwest::Body::wrap_stream(body)).await;
        // A file that cannot be read, or has changed, says more than the connection that broke because of it.
        reader.await.map_err(|error| CdnError::file(file, error))??;
        answered
    }

    /// Sends a ciphertext once.
    async fn put(&self, url: Url, key: &MediaKey, cipher_size: u64, body: reqwest::Body) -> Result<Uploaded, CdnError> {
        let request = self
            .client_for(&url)?
            .post(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, cipher_size)
            .body(body);
        let response = accepted(request.send().await.map_err(CdnError::from_reqwest)?)?;
        let param = response.headers().get("x-encrypted-param").and_then(|param| param.to_str().ok());
        let param = param.filter(|param| !param.is_empty());
        let param = param.ok_or_else(|| CdnError::Answer("an upload without x-encrypted-param".to_owned()))?;
        Ok(Uploaded { query_param: param.to_owned(), aes_key: key.to_base64(), cipher_size })
    }
}

/// Reads, checks and encrypts a file into `pieces`. Where nobody wants them any more that is no failure of the file.
fn read(
    file: &Path,
    key: &MediaKey,
    size: u64,
    md5: &str,
    pieces: &mpsc::Sender<Result<Vec<u8>, std::io::Error>>,
) -> Result<(), CdnError> {
    let unreadable = |error: std::io::Error| CdnError::file(file, error);
    let mut open = File::open(file).map_err(unreadable)?;
    let (mut encryptor, mut digest, mut total) = (Encryptor::new(key), Md5::new(), 0u64);
    let mut buffer = vec![0; PIECE];
    loop {
        let n = open.read(&mut buffer).map_err(unreadable)?;
        total += n as u64;
        digest.update(&buffer[..n]);
        let mut piece = Vec::with_capacity(PIECE + 16);
        if n == 0 {
            // The last block goes out only when the file is what it was: without it the upload is incomplete.
            if total != size || hex(&digest.finalize()) != md5 {
                let _ = pieces.blocking_send(Err(std::io::Error::other("the file has changed")));
                return Err(CdnError::Changed { path: file.to_owned() });
            }
            encryptor.finish(&mut piece);
            let _ = pieces.blocking_send(Ok(piece));
            return Ok(());
        }
        if total > size {
            let _ = pieces.blocking_send(Err(std::io::Error::other("the file has grown")));
            return Err(CdnError::Changed { path: file.to_owned() });
        }
        encryptor.update(&buffer[..n], &mut piece);
        if pieces.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}
