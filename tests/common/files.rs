//! Files that people send, and files that are sent to them.

use std::fs;
use std::path::{Path, PathBuf};

use ilink_simulator::{Content, LimitsPatch, Media, Sent};
use serde_json::{Value, json};

use super::{Bot, Sidecar, World, text};

pub const ANN: &str = "ann@im.wechat";
pub const MIB: usize = 1 << 20;
pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
pub const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";

/// Bytes that repeat nowhere soon.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ len as u64;
    let mut made = Vec::with_capacity(len + 8);
    while made.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        made.extend((state >> 16).to_le_bytes());
    }
    made.truncate(len);
    made
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn file(name: &str, media: Media) -> Content {
    Content::File { media, file_name: name.to_owned(), md5: None, len: None }
}

pub fn image(media: Media) -> Content {
    Content::Image { media, mid_size: None }
}

pub fn video(media: Media) -> Content {
    Content::Video { media, play_length: Some(3), video_size: None }
}

pub fn voice(media: Media, transcript: Option<&str>) -> Content {
    Content::Voice { media, encode_type: None, playtime: Some(1_200), text: transcript.map(str::to_owned) }
}

/// A person sends items; how they arrive. Acked.
pub fn received(world: &World, sidecar: &Sidecar, bot: &Bot, content: Vec<Content>) -> Value {
    let before = sidecar.seen().deliveries.len();
    world.sends(bot, ANN, content);
    let message = sidecar.deliveries(before + 1)[before].clone();
    sidecar.ack([&message]);
    message
}

pub fn content_of(part: &Value) -> Vec<u8> {
    fs::read(text(part, "path")).unwrap()
}

/// A pace that tests need not wait for.
pub fn started(world: &World, bot: &Bot, more: Value) -> Sidecar {
    let mut config = json!({ "outbox": { "perMinute": 6000, "burst": 100, "quotaPerMessage": 1000, "notice": false } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.control.set_limits(LimitsPatch { quota_per_token: Some(None), burst: Some(None), ..LimitsPatch::default() });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(bot);
    sidecar
}

pub fn outgoing(world: &World, name: &str, content: &[u8]) -> PathBuf {
    let path = world.state.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

pub fn send(sidecar: &Sidecar, path: &Path, more: Value) -> Value {
    let mut params = json!({ "to": ANN, "path": path });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sidecar.call("outbound.sendMedia", params)
}

pub fn refused(sidecar: &Sidecar, params: Value) -> Value {
    let mut all = json!({ "to": ANN });
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    sidecar.refused("outbound.sendMedia", all)
}

pub fn last_sent(world: &World) -> std::sync::Arc<Sent> {
    world.sent().pop().unwrap()
}
