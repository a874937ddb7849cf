//! `getuploadurl`: a client announces a file, and learns where its ciphertext goes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::call::{Call, Caller, Refuse, json_answer};
use crate::cdn::cipher::{ciphertext_size, key_of_hex};
use crate::cdn::{Upload, upload_url};
use crate::endpoint::Endpoint;
use crate::world::World;

/// An announcement. What is absent is wrong, and said to be.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Announcement {
    filekey: String,
    media_type: u64,
    to_user_id: String,
    rawsize: Option<u64>,
    rawfilemd5: String,
    filesize: u64,
    no_need_thumb: bool,
    aeskey: String,
    thumb_rawsize: Option<u64>,
    thumb_rawfilemd5: String,
    thumb_filesize: u64,
}

impl Announcement {
    fn flaw(&self) -> Option<&'static str> {
        let is_hex = |text: &str| key_of_hex(text.as_bytes()).is_some();
        let fits = |raw: Option<u64>, size| raw.and_then(ciphertext_size) == Some(size);
        if !is_hex(&self.filekey) {
            Some("filekey is not 32 hex digits")
        } else if !(1..=4).contains(&self.media_type) {
            Some("media_type is not 1, 2, 3 or 4")
        } else if self.to_user_id.is_empty() {
            Some("no to_user_id")
        } else if !is_hex(&self.aeskey) {
            Some("aeskey is not 32 hex digits")
        } else if !is_hex(&self.rawfilemd5) {
            Some("rawfilemd5 is not 32 hex digits")
        } else if !fits(self.rawsize, self.filesize) {
            Some("filesize is not the size of the ciphertext of rawsize bytes")
        } else if !self.has_thumb() {
            None
        } else if !is_hex(&self.thumb_rawfilemd5) {
            Some("thumb_rawfilemd5 is not 32 hex digits")
        } else if !fits(self.thumb_rawsize, self.thumb_filesize) {
            Some("thumb_filesize is not the size of the ciphertext of thumb_rawsize bytes")
        } else {
            None
        }
    }

    fn has_thumb(&self) -> bool {
        !self.no_need_thumb && self.thumb_rawsize.is_some()
    }

    fn upload(&self, bot_id: &str) -> Upload {
        Upload {
            bot_id: bot_id.to_owned(),
            filekey: self.filekey.clone(),
            media_type: self.media_type,
            to_user_id: self.to_user_id.clone(),
            rawsize: self.rawsize.unwrap_or_default(),
            rawfilemd5: self.rawfilemd5.clone(),
            filesize: self.filesize,
            aeskey: self.aeskey.clone(),
            thumb: false,
        }
    }

    fn thumb(&self, bot_id: &str) -> Upload {
        Upload {
            rawsize: self.thumb_rawsize.unwrap_or_default(),
            rawfilemd5: self.thumb_rawfilemd5.clone(),
            filesize: self.thumb_filesize,
            thumb: true,
            ..self.upload(bot_id)
        }
    }
}

/// Records an announcement, and answers with the upload parameters.
pub(super) async fn url(
    State(world): State<Arc<World>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let endpoint = Endpoint::GetUploadUrl;
    let (call, body) = match Call::open_typed::<Announcement>(&world, endpoint, caller, &headers, &body) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    if let Some(flaw) = body.flaw() {
        return call.refuse(&world, Refuse::Ret(-1, flaw), flaw);
    }
    let bot_id = &call.bot.id;
    let parameter = world.cdn.announce(body.upload(bot_id));
    let thumb = if body.has_thumb() { world.cdn.announce(body.thumb(bot_id)) } else { String::new() };
    let mut answer = json!({ "ret": 0, "upload_param": parameter, "thumb_upload_param": thumb });
    if world.cdn.full_urls() {
        answer["upload_full_url"] = json!(upload_url(&world.url, &parameter, &body.filekey));
    }
    json_answer(&answer)
}
