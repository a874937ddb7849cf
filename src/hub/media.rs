//! Files over the network: what messages brought, for those whose conversation it is, and what is posted to be sent.
//!
//! A received file's id is its place in the library, which says nothing without a token. A posted one is in
//! `…/media/.posted/<backend>/`, for a day.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;

use super::caller::{Caller, Role};
use super::http::{Failure, receive, unusable};
use super::hub::Hub;
use super::session::Session;
use crate::contract::{AccountId, ContractError, ErrorKind, FetchMediaResult, InboundMessage, Part, Quote};
use crate::media::{Library, mime_of, safe_name};
use crate::private;
use crate::process::open_beneath;

/// No account's id begins with a dot.
const POSTED: &str = ".posted";
/// How long a posted file is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How many bytes a backend may have posted and not sent.
const POSTED_AT_MOST: u64 = 1 << 30;

/// The id of a file that a message brought; `None` for a path that is not the library's.
fn id_of(path: &str) -> Option<String> {
    let mut names = Path::new(path).components().rev().map(|part| part.as_os_str().to_str());
    let (name, key, account) = (names.next()??, names.next()??, names.next()??);
    key.parse::<u64>().ok()?;
    Some(URL_SAFE_NO_PAD.encode(format!("{account}/{key}/{name}")))
}

/// Where a file is that has this id: account, key, name. Only what may be a place in the library is one.
fn place_of(id: &str) -> Option<(AccountId, u64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    let mut parts = text.split('/');
    let (account, key, name) = (parts.next()?, parts.next()?, parts.next()?);
    let normal = AccountId::normalize(account);
    let digits = key.parse::<u64>().ok()?;
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', '\0', ':']);
    let fits = parts.next().is_none() && normal.as_str() == account && digits.to_string() == key && is_plain(name);
    fits.then(|| (normal, digits, name.to_owned()))
}

fn with_url(part: &mut Part) {
    part.url = part.path.as_deref().and_then(id_of).map(|id| format!("/media/{id}"));
}

fn with_urls_of(parts: &mut [Part], quote: &mut Option<Quote>) {
    parts.iter_mut().for_each(with_url);
    if let Some(media) = quote.as_mut().and_then(|quote| quote.media.as_mut()) {
        with_url(media);
    }
}

/// A message whose files say where the hub serves them.
pub fn with_urls(mut message: InboundMessage) -> InboundMessage {
    with_urls_of(&mut message.parts, &mut message.quote);
    message
}

/// The same for what was fetched later.
pub fn fetched_with_urls(mut fetched: FetchMediaResult) -> FetchMediaResult {
    with_urls_of(&mut fetched.parts, &mut fetched.quote);
    fetched
}

/// A file that a message brought: what it is, and its bytes.
pub async fn serve(session: &Session, id: &str) -> Result<axum::response::Response, Failure> {
    let none = || Failure::NotFound("there is no such file for this token");
    let (account, key, name) = place_of(id).ok_or_else(none)?;
    let store = &session.hub.sidecar.store;
    if !session.caller.accounts.has(account.as_str()) || session.caller.role == Role::Viewer {
        return Err(none());
    }
    let number = store.account_no(&account).await.map_err(ContractError::from)?.ok_or_else(none)?;
    let peer = store.peer_of(number, key).await.map_err(ContractError::from)?.ok_or_else(none)?;
    if session.caller.role != Role::Admin && !session.is_theirs(&account, &peer).await? {
        return Err(none());
    }
    let root = session.hub.sidecar.sender.library.root().to_owned();
    let relative: PathBuf = [safe_name(account.as_str()), key.to_string(), name.clone()].iter().collect();
    let opened = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Seek as _};
        let mut file = open_beneath(&fs::canonicalize(root)?, &relative)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        }
        let mut head = Vec::new();
        (&mut file).take(8 * 1024).read_to_end(&mut head)?;
        file.rewind()?;
        Ok((file, about.len(), head))
    });
    let (file, size, head) = opened.await.map_err(|_| none())?.map_err(|_| none())?;
    let mime = mime_of(&head, Some(&name)).into_owned();
    let body = Body::from_stream(ReaderStream::with_capacity(tokio::fs::File::from_std(file), 64 * 1024));
    let response = axum::response::Response::builder()
        .header("content-type", mime)
        .header("content-length", size)
        // Never shown as a page of the hub's, whatever somebody sent.
        .header("content-disposition", "attachment")
        .header("content-security-policy", "sandbox; default-src 'none'");
    response.body(body).map_err(|_| none())
}

fn folder(library: &Library, backend: &str) -> PathBuf {
    library.root().join(POSTED).join(&hex::encode(Sha256::digest(backend.as_bytes()))[..32])
}

/// Takes a file that is to be sent. Returns its id.
pub async fn post(hub: &Hub, caller: &Caller, name: Option<&str>, body: Body) -> Result<String, Failure> {
    caller.require_sender()?;
    let folder = folder(&hub.sidecar.sender.library, &caller.backend);
    let limit = hub.sidecar.clients.settings().media_max_bytes();
    let id = format!("m{:032x}", rand::random::<u128>());
    let path = folder.join(format!("{id}-{}", safe_name(name.unwrap_or_default())));
    let (of_folder, of_file) = (folder.clone(), path.clone());
    let made = tokio::task::spawn_blocking(move || {
        private::make_dir(&of_folder)?;
        let used: u64 =
            fs::read_dir(&of_folder)?.filter_map(|entry| entry.ok()?.metadata().ok()).map(|about| about.len()).sum();
        if used > POSTED_AT_MOST {
            return Ok(None);
        }
        private::new_file(&of_file).map(Some)
    });
    let file = made.await.map_err(unusable)?.map_err(unusable)?.ok_or_else(|| {
        let message = "this backend has posted a GiB that it has not sent; send it, or wait a day";
        ContractError::new(ErrorKind::StoreFailed, message)
    })?;
    match receive(body, file, limit).await {
        Ok(_) => Ok(id),
        Err(failure) => {
            let _ = tokio::fs::remove_file(&path).await;
            Err(failure)
        }
    }
}

/// Where a file is that a backend posted.
pub async fn posted(hub: &Hub, backend: &str, id: &str) -> Result<PathBuf, ContractError> {
    let (folder, id) = (folder(&hub.sidecar.sender.library, backend), id.to_owned());
    let found = tokio::task::spawn_blocking(move || find_posted(&folder, &id)).await;
    found.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))?
}

fn find_posted(folder: &Path, id: &str) -> Result<PathBuf, ContractError> {
    let is_id = id.len() == 33 && id.starts_with('m') && id[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
    let entries = is_id.then(|| fs::read_dir(folder).ok()).flatten();
    let prefix = format!("{id}-");
    let is_it =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix));
    let found = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).find(is_it);
    found.ok_or_else(|| {
        let message =
            format!("params.mediaId: {id:?} was not posted by this backend, or more than a day ago; POST it to /media");
        ContractError::new(ErrorKind::InvalidParams, message)
    })
}

/// A posted file is in the outbox. Its id stays for a repeated call, and holds no room.
pub async fn was_sent(path: String) {
    let emptied = tokio::task::spawn_blocking(move || {
        fs::remove_file(&path)?;
        fs::create_dir(&path)
    });
    if let Ok(Err(error)) = emptied.await {
        tracing::debug!(%error, "a posted file that was sent goes with its day");
    }
}

/// The name that it was posted with.
pub fn posted_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.split_once('-')?.1;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Removes what was posted long ago. Blocks.
pub fn sweep(library: &Library) {
    let folders = fs::read_dir(library.root().join(POSTED)).into_iter().flatten();
    let files = folders.filter_map(Result::ok).flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten());
    for file in files.filter_map(Result::ok) {
        let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > KEPT) {
            let _ = fs::remove_file(file.path()).or_else(|_| fs::remove_dir(file.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_a_place_of_the_library_and_nowhere_else() {
        let id = id_of("/state/openclaw-weixin/media/b1-im-bot/18446744073709551615/0-a b.png").unwrap();
        assert_eq!(place_of(&id), Some((AccountId::normalize("b1-im-bot"), u64::MAX, "0-a b.png".to_owned())));
        for place in [
            "b1/1",
            "b1/1/a/b",
            "../1/a",
            "b1/../a",
            "b1/1/..",
            "b1/1/.hidden",
            "b1/1/",
            "B1/1/a",
            "b1/01/a",
            "b1/-1/a",
            "b1/1/a\\b",
            "b1/1/a\0",
            "/b1/1/a",
            ".posted/1/a",
        ] {
            assert_eq!(place_of(&URL_SAFE_NO_PAD.encode(place)), None, "{place}");
        }
        assert_eq!(place_of("%2e%2e"), None);
        assert_eq!(id_of("/etc/passwd"), None);
    }
}
