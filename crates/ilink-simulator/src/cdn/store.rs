//! What was announced, what was uploaded, and the parameters under which a client names them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::spool::{Spool, SpoolFile};
use crate::basics::lock;

/// The path under which the CDN lives on the simulator's port.
pub const PREFIX: &str = "/c2c";

/// An upload as `getuploadurl` announced it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upload {
    /// The bot.
    pub bot_id: String,
    /// 32 hex digits that the client chose.
    pub filekey: String,
    /// 1 image, 2 video, 3 file, 4 voice.
    pub media_type: u64,
    /// The person it is for.
    pub to_user_id: String,
    /// The size of the plaintext.
    pub rawsize: u64,
    /// The MD5 of the plaintext, in hex.
    pub rawfilemd5: String,
    /// The size of the ciphertext.
    pub filesize: u64,
    /// The key, in hex.
    pub aeskey: String,
    /// Whether it is the thumbnail of the announced file.
    pub thumb: bool,
}

/// How an object is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As fast as the client reads.
    Plain,
    /// So many bytes per second.
    Slow(u64),
    /// Not at all: 404.
    Missing,
    /// Elsewhere: 302.
    Redirect(String),
}

/// Something that can be downloaded.
#[derive(Debug)]
pub(crate) struct Object {
    /// Whose it is.
    pub(crate) bot_id: String,
    /// The bytes as they are handed out.
    pub(crate) file: Arc<SpoolFile>,
    pub(crate) size: u64,
    pub(crate) manner: Manner,
    /// How it came, if a client uploaded it.
    pub(crate) upload: Option<Arc<Upload>>,
}

/// The store behind the CDN's two endpoints.
#[derive(Debug, Default)]
pub(crate) struct Cdn {
    spool: Spool,
    full_urls: AtomicBool,
    uploads: Mutex<HashMap<String, Arc<Upload>>>,
    objects: Mutex<HashMap<String, Arc<Object>>>,
}

impl Cdn {
    pub(crate) fn new(full_urls: bool) -> Self {
        Self { full_urls: full_urls.into(), ..Self::default() }
    }

    /// Whether `getuploadurl` gives an `upload_full_url`.
    pub(crate) fn full_urls(&self) -> bool {
        self.full_urls.load(Ordering::Relaxed)
    }

    pub(crate) fn set_full_urls(&self, full_urls: bool) {
        self.full_urls.store(full_urls, Ordering::Relaxed);
    }

    /// A new temporary file.
    pub(crate) fn file(&self) -> io::Result<(SpoolFile, File)> {
        self.spool.create()
    }

    /// Records an announcement, and returns the upload parameter.
    pub(crate) fn announce(&self, upload: Upload) -> String {
        let parameter = parameter();
        lock(&self.uploads).insert(parameter.clone(), Arc::new(upload));
        parameter
    }

    /// What an upload parameter announced.
    pub(crate) fn upload(&self, parameter: &str) -> Option<Arc<Upload>> {
        lock(&self.uploads).get(parameter).cloned()
    }

    /// Keeps an object, and returns the download parameter.
    pub(crate) fn keep(&self, object: Object) -> String {
        let parameter = parameter();
        lock(&self.objects).insert(parameter.clone(), Arc::new(object));
        parameter
    }

    /// What a download parameter names.
    pub(crate) fn object(&self, parameter: &str) -> Option<Arc<Object>> {
        lock(&self.objects).get(parameter).cloned()
    }

    /// The bot that a parameter of either kind belongs to.
    pub(crate) fn owner(&self, parameter: &str) -> Option<String> {
        let upload = self.upload(parameter).map(|upload| upload.bot_id.clone());
        upload.or_else(|| self.object(parameter).map(|object| object.bot_id.clone()))
    }

    /// Removes all files. What is asked for afterwards cannot be read.
    pub(crate) fn remove(&self) {
        self.spool.remove();
    }
}

/// An unguessable parameter. It has each of the characters that a client forgets to encode in a query.
fn parameter() -> String {
    format!("E+/{}=", STANDARD.encode(rand::random::<[u8; 32]>()))
}

/// The address of a download.
pub(crate) fn download_url(server: &str, parameter: &str) -> String {
    let query =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("encrypted_query_param", parameter).finish();
    format!("{server}{PREFIX}/download?{query}")
}

/// The address of an upload.
pub(crate) fn upload_url(server: &str, parameter: &str, filekey: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("encrypted_query_param", parameter)
        .append_pair("filekey", filekey)
        .finish();
    format!("{server}{PREFIX}/upload?{query}")
}
