//! From the media host, or from a URL, into a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;
use reqwest::header::LOCATION;
use url::Url;

use super::cipher::Decryptor;
use super::client::{Cdn, REDIRECTS, accepted, asked, retried};
use super::error::CdnError;
use super::key::MediaKey;
use super::progress::Progress;

/// Bytes that are written at once.
const BATCH: usize = 256 * 1024;
/// How long a URL of the gateway's may take: somebody waits for the send, and others behind it.
const URL_WITHIN: Duration = Duration::from_secs(120);
/// How much of a file is kept to see what it is.
const HEAD: usize = 8 * 1024;

/// Where a message says that its media is.
#[derive(Clone, Debug, Default)]
pub struct MediaSource {
    /// A whole address; comes first.
    pub full_url: Option<String>,
    /// What the media host is asked with.
    pub query_param: Option<String>,
    /// The key; an image without any is not encrypted.
    pub key: Option<MediaKey>,
}

/// Agrees to so many bytes, or says why not.
pub type Admit<'a> = &'a (dyn Fn(u64) -> BoxFuture<'a, Result<(), CdnError>> + Sync);

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// In bytes, decrypted.
    pub size: u64,
    /// Its first bytes, 8 KiB at most.
    pub head: Vec<u8>,
    /// The file name that a URL's answer or its path gave.
    pub file_name: Option<String>,
    /// The MIME type that a URL's answer gave, without its parameters.
    pub mime: Option<String>,
}

impl Cdn {
    /// Fetches a message's media into `file`, decrypted, with at most `limit` bytes, once `admit` has agreed to so many as it will
    /// have at most. Nothing is left where it fails.
    pub async fn download(
        &self,
        source: &MediaSource,
        limit: u64,
        file: &Path,
        admit: Admit<'_>,
    ) -> Result<Downloaded, CdnError> {
        let url = match (&source.full_url, &source.query_param) {
            (Some(url), _) => Url::parse(url).map_err(|error| CdnError::Denied(error.to_string()))?,
            (None, Some(param)) => self.url("download", &[("encrypted_query_param", param)])?,
            (None, None) => return Err(CdnError::NoSource),
        };
        retried(|| self.fetch(url.clone(), source.key.as_ref(), limit, file, 0, admit)).await
    }

    /// Fetches a URL that the gateway named into `file`.
    pub async fn fetch_url(&self, url: &str, limit: u64, file: &Path) -> Result<Downloaded, CdnError> {
        let url = Url::parse(url).map_err(|error| CdnError::Denied(error.to_string()))?;
        let admit = |_| -> BoxFuture<'_, Result<(), CdnError>> { Box::pin(async { Ok(()) }) };
        let fetched = retried(|| self.fetch(url.clone(), None, limit, file, REDIRECTS, &admit));
        let timed_out = |_| CdnError::TimedOut { seconds: URL_WITHIN.as_secs() };
        tokio::time::timeout(URL_WITHIN, fetched).await.map_err(timed_out)?
    }

    async fn fetch(
        &self,
        mut url: Url,
        key: Option<&MediaKey>,
        limit: u64,
        file: &Path,
        mut redirects: u32,
        admit: Admit<'_>,
    ) -> Result<Downloaded, CdnError> {
        let response = loop {
            // Every hop anew: a public host may point inside.
            let response = asked(self.client_for(&url)?.get(url.clone()), self.stalls.download).await?;
            if !response.status().is_redirection() {
                break accepted(response)?;
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok());
            url = to.ok_or_else(|| CdnError::Answer("a redirect without an address".to_owned()))?;
            if redirects == 0 {
                return Err(CdnError::Denied("it redirects, or too often".to_owned()));
            }
            redirects -= 1;
        };
        let most = limit.saturating_add(if key.is_some() { 16 } else { 0 });
        if response.content_length().is_some_and(|length| length > most) {
            return Err(CdnError::TooLarge { limit });
        }
        // A ciphertext is a little longer than what is in it. A host that does not say how long may bring more than it asked for.
        admit(response.content_length().unwrap_or(UNKNOWN).min(limit)).await?;
        let (file_name, mime) = (name_of(&response, &url), mime_of(&response));
        let (size, head) = self.receive(response, key, limit, most, file).await?;
        Ok(Downloaded { size, head, file_name, mime })
    }

    /// Streams a body into a file. The disk and the cipher work on threads for what blocks, for moments only: a slow host holds none.
    async fn receive(
        &self,
        mut response: reqwest::Response,
        key: Option<&MediaKey>,
        limit: u64,
        most: u64,
        file: &Path,
    ) -> Result<(u64, Vec<u8>), CdnError> {
        let expected = response.content_length();
        let (target, decryptor) = (file.to_owned(), key.map(Decryptor::new));
        let create = move || Ok(Sink { file: Partial::create(&target)?, decryptor, size: 0, head: Vec::new(), limit });
        let mut sink = on_disk(file, create).await?;
        let (mut received, mut waiting, mut pieces) = (0, 0, Vec::new());
        loop {
            let piece = match tokio::time::timeout(self.stalls.download, response.chunk()).await {
                Ok(piece) => piece.map_err(CdnError::from_reqwest)?,
                Err(_) => return Err(CdnError::stalled(self.stalls.download)),
            };
            if let Some(piece) = &piece {
                received += piece.len() as u64;
                waiting += piece.len();
                if received > most {
                    return Err(CdnError::TooLarge { limit });
                }
                self.watcher.tell(Progress { upload: false, moved: received, total: expected });
            }
            let is_last = piece.is_none();
            pieces.extend(piece);
            if waiting >= BATCH || (is_last && !pieces.is_empty()) {
                let batch = std::mem::take(&mut pieces);
                waiting = 0;
                sink = on_disk(file, move || sink.take(&batch)).await?;
            }
            if is_last {
                break;
            }
        }
        if expected.is_some_and(|expected| expected != received) {
            return Err(CdnError::Answer("it ended early".to_owned()));
        }
        on_disk(file, move || sink.finish()).await
    }
}

/// The room that is asked for where a host does not say how long its answer is, in bytes.
const UNKNOWN: u64 = 4 * 1024 * 1024;

/// Runs work on the disk where it may block.
async fn on_disk<T: Send + 'static>(
    file: &Path,
    work: impl FnOnce() -> Result<T, CdnError> + Send + 'static,
) -> Result<T, CdnError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| CdnError::file(file, error))?
}

struct Sink {
    file: Partial,
    decryptor: Option<Decryptor>,
    size: u64,
    head: Vec<u8>,
    limit: u64,
}

impl Sink {
    fn take(mut self, pieces: &[impl AsRef<[u8]>]) -> Result<Sink, CdnError> {
        let mut plain = Vec::new();
        for piece in pieces {
            match &mut self.decryptor {
                Some(decryptor) => {
                    plain.clear();
                    decryptor.update(piece.as_ref(), &mut plain);
                    self.write(&plain)?;
                }
                None => self.write(piece.as_ref())?,
            }
        }
        Ok(self)
    }

    /// Gives the file its name. Returns its size and its first bytes.
    fn finish(mut self) -> Result<(u64, Vec<u8>), CdnError> {
        if let Some(decryptor) = self.decryptor.take() {
            let mut plain = Vec::new();
            decryptor.finish(&mut plain).map_err(|_| CdnError::Ciphertext)?;
            self.write(&plain)?;
        }
        self.file.keep()?;
        Ok((self.size, self.head))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CdnError> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(CdnError::TooLarge { limit: self.limit });
        }
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.file.write(bytes)
    }
}

/// A file that has its name only when it is whole.
struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    kept: bool,
}

/// Makes a file to write to, which only this user may read. One that is there is an error.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Partial {
    fn create(target: &Path) -> Result<Partial, CdnError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:08x}.part", rand::random::<u32>()));
        let path = target.with_file_name(name);
        let file = private_file(&path).map_err(|error| CdnError::file(&path, error))?;
        Ok(Partial { file, path, target: target.to_owned(), kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CdnError> {
        self.file.write_all(bytes).map_err(|error| CdnError::file(&self.target, error))
    }

    fn keep(mut self) -> Result<(), CdnError> {
        fs::rename(&self.path, &self.target).map_err(|error| CdnError::file(&self.target, error))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn name_of(response: &reqwest::Response, url: &Url) -> Option<String> {
    let header = response.headers().get(reqwest::header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).filter(|name| !name.is_empty());
    header.and_then(named_by).or_else(|| last.map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned()))
}

/// The name in a `content-disposition`: `filename*` (RFC 8187) before `filename`, which is percent-encoded in the field.
fn named_by(header: &str) -> Option<String> {
    let parameters: Vec<(&str, &str)> = header.split(';').filter_map(|part| part.trim().split_once('=')).collect();
    let value = |wanted: &str| {
        let found = parameters.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim().trim_matches('"'))
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|name| name.into_owned());
    let extended = value("filename*").and_then(|value| {
        let mut fields = value.splitn(3, '\'');
        let charset = fields.next()?;
        let name = fields.nth(1)?;
        if charset.eq_ignore_ascii_case("utf-8") { decoded(name) } else { None }
    });
    let plain = || value("filename").map(|name| decoded(name).unwrap_or_else(|| name.to_owned()));
    extended.or_else(plain).filter(|name| !name.is_empty())
}

fn mime_of(response: &reqwest::Response) -> Option<String> {
    let value = response.headers().get(reqwest::header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(|mime| mime.trim().to_ascii_lowercase()).filter(|mime| !mime.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_however_the_host_writes_it() {
        for (header, name) in [
            ("attachment; filename=\"a b.pdf\"", Some("a b.pdf")),
            (
                "attachment; filename=x.pdf; filename*=UTF-8''%E6%8A%A5%E5%91%8A%20%28%E7%BB%88%29.pdf",
                Some("报告 (终).pdf"),
            ),
            ("attachment; FileName*=utf-8'zh'%E6%8A%A5.pdf", Some("报.pdf")),
            ("attachment; filename=\"%E6%8A%A5%E5%91%8A.pdf\"", Some("报告.pdf")),
            ("attachment; filename*=GBK''%B1%A8.pdf; filename=bao.pdf", Some("bao.pdf")),
            ("attachment; filename=100%.pdf", Some("100%.pdf")),
            ("attachment; filename=\"\"", None),
            ("inline", None),
        ] {
            assert_eq!(named_by(header).as_deref(), name, "{header}");
        }
    }
}
