//! Media in both directions: byte for byte, whatever the size; what is hostile or broken is said and harms nothing.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Bot, Sidecar, World, memory, text, until};
use md5::{Digest as _, Md5};
use openclaw_weixin_sidecar::simulator::{
    Address, Content, Damage, Endpoint, FaultKind, KeyEncoding, LimitsPatch, Media, MediaKind, Sent,
};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const MIB: usize = 1 << 20;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";

/// Bytes that repeat nowhere soon.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ len as u64;
    let mut made = Vec::with_capacity(len + 8);
    while made.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        made.extend((state >> 16).to_le_bytes());
    }
    made.truncate(len);
    made
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(name: &str, media: Media) -> Content {
    Content::File { media, file_name: name.to_owned(), md5: None, len: None }
}

fn image(media: Media) -> Content {
    Content::Image { media, mid_size: None }
}

fn video(media: Media) -> Content {
    Content::Video { media, play_length: Some(3), video_size: None }
}

fn voice(media: Media, transcript: Option<&str>) -> Content {
    Content::Voice { media, encode_type: None, playtime: Some(1_200), text: transcript.map(str::to_owned) }
}

/// A person sends items; how they arrive. Acked.
fn received(world: &World, sidecar: &Sidecar, bot: &Bot, content: Vec<Content>) -> Value {
    let before = sidecar.seen().deliveries.len();
    world.sends(bot, ANN, content);
    let message = sidecar.deliveries(before + 1)[before].clone();
    sidecar.ack([&message]);
    message
}

fn content_of(part: &Value) -> Vec<u8> {
    fs::read(text(part, "path")).unwrap()
}

/// A pace that tests need not wait for.
fn started(world: &World, bot: &Bot, more: Value) -> Sidecar {
    let mut config = json!({ "outbox": { "perMinute": 6000, "burst": 100, "quotaPerMessage": 1000, "notice": false } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.control.set_limits(LimitsPatch { quota_per_token: Some(None), burst: Some(None), ..LimitsPatch::default() });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(bot);
    sidecar
}

fn outgoing(world: &World, name: &str, content: &[u8]) -> PathBuf {
    let path = world.state.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn send(sidecar: &Sidecar, path: &Path, more: Value) -> Value {
    let mut params = json!({ "to": ANN, "path": path });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sidecar.call("outbound.sendMedia", params)
}

fn refused(sidecar: &Sidecar, params: Value) -> Value {
    let mut all = json!({ "to": ANN });
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    sidecar.refused("outbound.sendMedia", all)
}

fn last_sent(world: &World) -> std::sync::Arc<Sent> {
    world.sent().pop().unwrap()
}

#[test]
fn files_of_every_size_arrive_byte_for_byte_in_both_directions() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    for size in [0, 1, 15, 16, 17, MIB, 100 * MIB] {
        let content = bytes(size);
        let message = received(&world, &sidecar, &bot, vec![file("data.bin", Media::bytes(content.clone()))]);
        let part = &message["parts"][0];
        assert_eq!(part["error"], Value::Null, "{size}");
        assert!(content_of(part) == content, "{size} bytes came otherwise");
        assert_eq!((part["sizeBytes"].as_u64(), text(part, "fileName")), (Some(size as u64), "data.bin"));

        let path = outgoing(&world, "out.bin", &content);
        let result = send(&sidecar, &path, json!({}));
        assert_eq!((text(&result, "status"), result["parts"].as_u64()), ("sent", Some(1)), "{size}");
        let sent = last_sent(&world);
        let seen = world.control.sent_content(&sent).unwrap();
        assert_eq!((seen.size, seen.md5.as_str()), (size as u64, hex(&Md5::digest(&content)).as_str()));
        let said = sent.media.as_ref().unwrap();
        assert_eq!(
            (said.kind, said.file_name.as_deref(), said.len),
            (MediaKind::File, Some("out.bin"), Some(size as u64))
        );
    }
    until("the spool to be empty", || fs::read_dir(world.state.channel().join("media/spool")).unwrap().count() == 0);
}

#[test]
fn pictures_videos_and_voice_arrive_as_what_they_are_in_both_directions() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "voice": { "send": true } }));
    world.hears(&sidecar, &bot, ANN);
    let silk = include_bytes!("../src/media/silk/testdata/24khz.silk");
    for (content, name, item, kind) in [
        (PNG, "a.png", image(Media::bytes(PNG)), MediaKind::Image),
        (MP4, "a.mp4", video(Media::bytes(MP4)), MediaKind::Video),
        (silk, "a.silk", voice(Media::bytes(silk), Some("good morning")), MediaKind::Voice),
    ] {
        let message = received(&world, &sidecar, &bot, vec![item]);
        let part = &message["parts"][0];
        assert_eq!(part["error"], Value::Null);
        // What becomes of voice is in `voice.rs`.
        assert!(kind == MediaKind::Voice || content_of(part) == content, "{part}");
        let asked = if kind == MediaKind::Voice { "voice" } else { "auto" };
        let path = outgoing(&world, name, content);
        send(&sidecar, &path, json!({ "kind": asked, "text": "**look**" }));
        let sent = world.sent();
        let [caption, media] = &sent[sent.len() - 2..] else { unreachable!() };
        assert_eq!(caption.text.as_deref(), Some("**look**"));
        assert_eq!(media.media.as_ref().unwrap().kind, kind);
        assert_eq!(world.control.sent_bytes(media).unwrap(), content);
    }
    let came = sidecar.seen().deliveries.clone();
    let mimes: Vec<&str> = came[1..3].iter().map(|message| text(&message["parts"][0], "mime")).collect();
    assert_eq!(mimes, ["image/png", "video/mp4"]);
    assert!(text(&came[1]["parts"][0], "path").ends_with(".png"));
    assert_eq!(came[2]["parts"][0]["durationMs"], 3_000);
    let spoken = &came[3];
    assert_eq!((text(spoken, "text"), spoken["parts"][0]["durationMs"].as_u64()), ("good morning", Some(1_200)));
    assert_eq!(last_sent(&world).media.as_ref().unwrap().playtime, Some(1_200));
}

#[test]
fn nine_pictures_and_a_text_are_ten_parts_in_order() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let mut content: Vec<Content> = (0..9u8).map(|n| image(Media::bytes([PNG, &[n]].concat()))).collect();
    content.insert(4, Content::Text { text: "in the middle".to_owned() });
    content.push(Content::Unknown { number: 77 });
    let message = received(&world, &sidecar, &bot, content);
    let parts = message["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 11);
    assert_eq!((text(&parts[4], "type"), text(&message, "text")), ("text", "in the middle"));
    let pictures: Vec<u8> =
        parts.iter().filter_map(|p| p["path"].as_str()).map(|p| *fs::read(p).unwrap().last().unwrap()).collect();
    assert_eq!(pictures, (0..9).collect::<Vec<u8>>());
    assert!(text(&parts[10], "error").contains("77"));
}

#[test]
fn every_way_to_tell_key_and_address_is_understood() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    for key in [KeyEncoding::Hex, KeyEncoding::Raw, KeyEncoding::HexBase64, KeyEncoding::HexFirst, KeyEncoding::None] {
        for address in [Address::Param, Address::Both, Address::FullUrl] {
            let item = image(Media::bytes(PNG).key(key).address(address));
            let message = received(&world, &sidecar, &bot, vec![item]);
            assert!(content_of(&message["parts"][0]) == PNG, "{key:?} {address:?}: {message}");
        }
    }
}

#[test]
fn what_is_broken_or_hostile_is_said_in_its_part_and_the_text_still_comes() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "mediaMaxMb": 1 }));
    let fine = || Media::bytes(bytes(100_000));
    for (media, says) in [
        (fine().damaged(Damage::WrongKey), "key is wrong"),
        (fine().damaged(Damage::Truncated { bytes: 16 }), "damaged"),
        (fine().damaged(Damage::Truncated { bytes: 5 }), "damaged"),
        (fine().damaged(Damage::Missing), "HTTP 404"),
        (fine().damaged(Damage::Redirect { to: "http://169.254.169.254/latest/".into() }), "refused"),
        (fine().damaged(Damage::Redirect { to: world.url().to_owned() }), "refused"),
        (Media::bytes(bytes(MIB + 1)), "1048576"),
        (fine().damaged(Damage::Longer { bytes: MIB as u64 }), "1048576"),
    ] {
        let described = format!("{:?}", media.damage);
        let text_item = Content::Text { text: "and this".to_owned() };
        let message = received(&world, &sidecar, &bot, vec![file("a.bin", media), text_item]);
        let part = &message["parts"][0];
        assert!(part["path"].is_null() && text(part, "error").contains(says), "{described}: {part}");
        assert_eq!(text(&message, "text"), "and this");
    }
    let left = fs::read_dir(world.state.channel().join("media").join(&bot.account)).unwrap();
    let files: usize = left.map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count()).sum();
    assert_eq!(files, 0, "something is left of what failed");
}

#[test]
fn names_from_people_lead_nowhere() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let long = format!("{}.txt", "长".repeat(1400));
    for name in ["../../x", "..\\..\\x", "/etc/passwd", "a\0b\n\u{1b}[31m.txt", &long, "", "CON", ".hidden"] {
        let message = received(&world, &sidecar, &bot, vec![file(name, Media::bytes("hi"))]);
        let part = &message["parts"][0];
        let path = PathBuf::from(text(part, "path"));
        let folder = world.state.channel().join("media").join(&bot.account).join(text(&message, "messageId"));
        assert_eq!(path.parent().unwrap(), folder);
        let shown = text(part, "fileName");
        assert!(!shown.contains(['/', '\\', '\0', '\n', '\u{1b}']) && shown.len() < 200, "{shown:?}");
        assert_eq!(content_of(part), b"hi");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[test]
fn the_content_says_what_a_file_is() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let message =
        received(&world, &sidecar, &bot, vec![file("picture.png", Media::bytes("<html><script></script></html>"))]);
    assert_eq!(text(&message["parts"][0], "mime"), "text/html");
    let message = received(&world, &sidecar, &bot, vec![image(Media::bytes("<html></html>"))]);
    assert_eq!(text(&message["parts"][0], "mime"), "text/html");
}

#[test]
fn trouble_at_the_media_host_is_waited_out_and_no_other_conversation_waits() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    for kind in [FaultKind::Status(503), FaultKind::Reset, FaultKind::Truncate] {
        world.fault(Endpoint::CdnDownload, kind, 2);
        let message = received(&world, &sidecar, &bot, vec![image(Media::bytes(PNG))]);
        assert!(content_of(&message["parts"][0]) == PNG);
    }
    let before = sidecar.seen().deliveries.len();
    world.sends(
        &bot,
        ANN,
        vec![file("slow", Media::bytes(bytes(1000)).damaged(Damage::Slow { bytes_per_second: 200 }))],
    );
    world.writes(&bot, ANN, "behind it");
    world.writes(&bot, "bob@im.wechat", "beside it");
    let all = sidecar.deliveries(before + 1);
    assert_eq!(text(&all[before], "text"), "beside it");
    sidecar.ack([&all[before]]);
    let all = sidecar.deliveries(before + 2);
    assert_eq!(all[before + 1]["parts"][0]["sizeBytes"], 1000);
    sidecar.ack([&all[before + 1]]);
    assert_eq!(text(&sidecar.deliveries(before + 3)[before + 2], "text"), "behind it");
}

#[test]
fn media_that_was_fetched_is_not_fetched_again_after_a_kill() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.sends(&bot, ANN, vec![image(Media::bytes(PNG)), file("a.txt", Media::bytes("hello"))]);
    let first = sidecar.deliveries(1)[0].clone();
    sidecar.kill();
    let downloads = world.requests(&bot, Endpoint::CdnDownload);
    world.lasting_fault(Endpoint::CdnDownload, FaultKind::Status(500));
    let again = world.sidecar();
    again.start_account(&bot);
    let second = again.deliveries(1)[0].clone();
    assert_eq!((&second["deliveryId"], &second["parts"][0]), (&first["deliveryId"], &first["parts"][0]));
    assert_eq!(second["parts"][1], first["parts"][1]);
    assert_eq!(world.requests(&bot, Endpoint::CdnDownload), downloads);
}

/// A photograph-like JPEG.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x / 3 + y / 5) as u8]));
    pixels.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

#[test]
fn a_picture_brings_its_thumbnail_and_does_not_fail_with_it() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    let thumb_of_last = || {
        let sent = last_sent(&world);
        let thumb = sent.media.as_ref().unwrap().thumb.clone();
        thumb.map(|thumb| (thumb.width.unwrap(), thumb.height.unwrap(), world.control.sent_thumb(&sent).unwrap()))
    };

    let picture = photo(600, 300);
    send(&sidecar, &outgoing(&world, "a.jpg", &picture), json!({}));
    let (width, height, (jpeg, content)) = thumb_of_last().unwrap();
    let shown = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).unwrap();
    assert_eq!((width, height, shown.width(), shown.height()), (240, 120, 240, 120));
    let announced = content.announced.unwrap();
    assert_eq!((announced.rawsize, announced.rawfilemd5), (content.size, content.md5));
    assert_eq!(last_sent(&world).media.as_ref().unwrap().thumb.as_ref().unwrap().size, Some(content.ciphertext_size));
    assert_eq!(world.control.sent_bytes(&last_sent(&world)).unwrap(), picture);

    send(&sidecar, &outgoing(&world, "again.jpg", &picture), json!({}));
    assert_eq!(thumb_of_last().map(|(_, _, (again, _))| again), Some(jpeg), "what is sent again has it too");

    // A server that wants no thumbnails.
    world.fault(Endpoint::GetUploadUrl, FaultKind::Ret { ret: -3, errmsg: None }, 1);
    send(&sidecar, &outgoing(&world, "b.jpg", &photo(500, 500)), json!({}));
    assert!(thumb_of_last().is_none());
    // A media host that takes pictures and no thumbnails.
    let other = photo(400, 500);
    world.fault(Endpoint::CdnUpload, FaultKind::Refuse { status: 400, message: "no thumbnails".into() }, 1);
    send(&sidecar, &outgoing(&world, "c.jpg", &other), json!({}));
    assert!(thumb_of_last().is_none());
    assert_eq!(world.control.sent_bytes(&last_sent(&world)).unwrap(), other);
    // What cannot be read as a picture.
    send(&sidecar, &outgoing(&world, "d.png", PNG), json!({}));
    assert!(thumb_of_last().is_none());
    assert_eq!(last_sent(&world).item_type, 2);
}

#[test]
fn uploads_are_tried_three_times_and_a_refusal_is_final() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    let path = outgoing(&world, "a.bin", &bytes(100_000));
    for (endpoint, kind) in [
        (Endpoint::CdnUpload, FaultKind::Status(500)),
        (Endpoint::CdnUpload, FaultKind::Reset),
        (Endpoint::GetUploadUrl, FaultKind::Status(502)),
        (Endpoint::GetUploadUrl, FaultKind::WrongJson),
        (Endpoint::SendMessage, FaultKind::DropAnswer),
    ] {
        fs::write(&path, bytes(100_000 + world.sent().len())).unwrap();
        world.fault(endpoint, kind.clone(), 1);
        assert_eq!(text(&send(&sidecar, &path, json!({})), "status"), "sent", "{endpoint:?} {kind:?}");
    }
    assert_eq!(world.sent().len(), 5);
    world.control.set_upload_full_url(true);
    fs::write(&path, bytes(5)).unwrap();
    send(&sidecar, &path, json!({}));

    fs::write(&path, bytes(7)).unwrap();
    let refuse = FaultKind::Refuse { status: 403, message: "file type not allowed".to_owned() };
    world.fault(Endpoint::CdnUpload, refuse, 1);
    let error = refused(&sidecar, json!({ "path": path }));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32020), &json!("ilink_rejected")), "{error}");
    assert!(text(&error, "message").contains("file type not allowed"), "{error}");
    assert_eq!(error["data"]["ilink"]["httpStatus"], 403);
    assert_eq!(world.sent().len(), 6);
}

#[test]
fn the_same_file_goes_to_the_media_host_once() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    let path = outgoing(&world, "a.bin", &bytes(1000));
    for _ in 0..3 {
        send(&sidecar, &path, json!({}));
    }
    assert_eq!(world.sent().len(), 3);
    assert_eq!(world.requests(&bot, Endpoint::GetUploadUrl), 1);
    let key = json!({ "idempotencyKey": "k" });
    let first = send(&sidecar, &path, key.clone());
    fs::remove_file(&path).unwrap();
    assert_eq!(send(&sidecar, &path, key), first);
    assert_eq!(world.sent().len(), 4);
}

#[test]
fn a_held_file_is_sent_although_the_original_is_gone_and_the_sidecar_was_killed() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    let content = bytes(50_000);
    let path = outgoing(&world, "a.bin", &content);
    let held = send(&sidecar, &path, json!({ "text": "as promised" }));
    assert_eq!((text(&held, "status"), text(&held, "heldReason")), ("held", "no_context"));
    let item = sidecar.call("outbound.queue", json!({}))["items"][0].clone();
    assert_eq!((text(&item, "kind"), text(&item, "preview")), ("file", "as promised"));
    assert_eq!(world.requests(&bot, Endpoint::GetUploadUrl), 0);
    fs::remove_file(&path).unwrap();
    sidecar.kill();

    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    let sent = world.wait_for_sent(2);
    assert_eq!(sent[0].text.as_deref(), Some("as promised"));
    assert!(world.control.sent_bytes(&sent[1]).unwrap() == content);
}

#[test]
fn only_what_the_gateway_named_is_read_and_never_the_channels_own_files() {
    let world = World::new();
    let bot = world.bot();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let sidecar = started(&world, &bot, json!({ "mediaMaxMb": 1 }));
    world.hears(&sidecar, &bot, ANN);
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path().join("secret"), world.state.path().join("link")).unwrap();
    fs::create_dir(world.state.path().join("folder")).unwrap();
    let in_state = |name: &str| world.state.path().join(name).to_str().unwrap().to_owned();
    for (path, kind) in [
        (outside.path().join("secret").to_str().unwrap().to_owned(), "media_denied"),
        (in_state("link"), "media_denied"),
        (in_state("../../etc/passwd"), "media_denied"),
        (in_state("folder"), "media_denied"),
        (in_state(&format!("openclaw-weixin/accounts/{}.json", bot.account)), "media_denied"),
        (in_state("openclaw-weixin/sidecar.sqlite"), "media_denied"),
        (in_state("nothing"), "media_unreadable"),
    ] {
        let error = refused(&sidecar, json!({ "path": path }));
        assert_eq!(error["data"]["kind"], kind, "{path}: {error}");
    }
    let error = refused(&sidecar, json!({ "path": outgoing(&world, "large", &bytes(MIB + 1)) }));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32030), &json!("media_too_large")), "{error}");
    for url in [
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "http://[::1]/",
        "http://169.254.169.254/",
        "http://localhost:1/",
        "ftp://example.com/x",
        "nonsense",
    ] {
        let error = refused(&sidecar, json!({ "url": url }));
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(-32031), &json!("media_denied")),
            "{url}: {error}"
        );
    }
    for params in [json!({}), json!({ "path": "/a", "url": "http://example.com" })] {
        assert_eq!(refused(&sidecar, params)["data"]["kind"], "invalid_params");
    }
    assert_eq!(world.sent().len(), 0);
}

#[test]
fn a_url_is_followed_only_where_it_may_lead() {
    let world = World::new();
    let bot = world.bot();
    let pages = Pages::serve();
    let config = json!({ "mediaMaxMb": 1, "outbox": { "burst": 100, "perMinute": 6000 } });
    world.control.set_limits(LimitsPatch { burst: Some(None), ..LimitsPatch::default() });
    let sidecar = world.launch().with("config", config).env("WEIXIN_MEDIA_ALLOWED_HOSTS", &pages.host).start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ANN);
    let url = |path: &str| format!("http://{}{path}", pages.host);
    let sent = sidecar.call("outbound.sendMedia", json!({ "to": ANN, "url": url("/cat.png") }));
    assert_eq!(text(&sent, "status"), "sent");
    assert_eq!(last_sent(&world).media.as_ref().unwrap().kind, MediaKind::Image);
    sidecar.call("outbound.sendMedia", json!({ "to": ANN, "url": url("/hop") }));
    assert_eq!(last_sent(&world).media.as_ref().unwrap().file_name, None);
    for (path, kind) in [
        ("/to-metadata", "media_denied"),
        ("/to-loopback", "media_denied"),
        ("/round", "media_denied"),
        ("/large", "media_too_large"),
        ("/gone", "ilink_rejected"),
    ] {
        let error = refused(&sidecar, json!({ "url": url(path) }));
        assert_eq!(error["data"]["kind"], kind, "{path}: {error}");
    }
    assert_eq!(world.sent().len(), 2);
}

#[test]
fn progress_is_shown_and_is_the_first_to_go() {
    let world = World::new();
    let bot = world.bot();
    let config = json!({ "outbox": { "perMinute": 6000, "burst": 100, "notice": false } });
    world.control.set_limits(LimitsPatch { burst: Some(None), ..LimitsPatch::default() });
    let sidecar = world.launch().with("config", config).start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, ANN);
    let progress = |phase: &str| {
        let params = json!({ "to": ANN, "runId": "r1", "phase": phase, "toolName": "search", "toolCallId": "c1", "status": "completed" });
        sidecar.call("outbound.sendProgress", params)
    };
    assert_eq!(text(&progress("start"), "status"), "sent");
    assert_eq!(text(&progress("end"), "status"), "sent");
    let sent = world.sent();
    let kinds: Vec<u64> = sent.iter().map(|sent| sent.item_type).collect();
    assert_eq!((kinds, sent[0].run_id.as_deref()), (vec![11, 12], Some("r1")));
    assert_eq!(sent[1].items[0]["tool_call_result_item"]["status"], "completed");
    let results: Vec<Value> = (0..8).map(|_| progress("start")).collect();
    let shown = results.iter().filter(|result| result["status"] == "sent").count();
    assert_eq!(shown, 4, "four of ten are left for the answer");
    let dropped = results.last().unwrap();
    assert_eq!((text(dropped, "status"), dropped.get("queueId")), ("held", None));
    for n in 0..4 {
        assert_eq!(text(&sidecar.send(ANN, &format!("answer {n}")), "status"), "sent");
    }
    assert_eq!(world.control.rejected(&Default::default()).len(), 0);
}

/// Needs a minute and 3 GiB of disk: `cargo test --release --test media -- --ignored`.
#[test]
#[ignore = "large; on request"]
fn a_gibibyte_goes_both_ways_in_flat_memory() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "mediaMaxMb": 2048 }));
    world.hears(&sidecar, &bot, ANN);
    let path = world.state.path().join("large.bin");
    let block = bytes(MIB);
    let mut large = fs::File::create(&path).unwrap();
    for _ in 0..1024 {
        std::io::Write::write_all(&mut large, &block).unwrap();
    }
    drop(large);
    send(&sidecar, &outgoing(&world, "small.bin", &bytes(MIB)), json!({}));
    received(&world, &sidecar, &bot, vec![file("small.bin", Media::bytes(bytes(MIB)))]);
    let before = memory(sidecar.pid(), "VmHWM");
    let began = std::time::Instant::now();
    send(&sidecar, &path, json!({}));
    let out = began.elapsed();
    assert_eq!(world.control.sent_content(&last_sent(&world)).unwrap().size, 1 << 30);
    world.sends(&bot, ANN, vec![file("large.bin", Media::file(&path))]);
    let began = std::time::Instant::now();
    let count = sidecar.seen().deliveries.len();
    let message = sidecar.wait("the gibibyte", |seen| seen.deliveries.get(count).cloned());
    let into = began.elapsed();
    assert_eq!(message["parts"][0]["sizeBytes"], 1 << 30, "{message}");
    let grown = memory(sidecar.pid(), "VmHWM") - before;
    let rate = |time: Duration| 1024.0 / time.as_secs_f64();
    println!(
        "out {:.0} MiB/s, in {:.0} MiB/s, memory grew by {:.1} MiB",
        rate(out),
        rate(into),
        grown as f64 / MIB as f64
    );
    assert!(grown <= 16 << 20, "memory grew by {grown} bytes");
}

/// A web server with a few pages.
struct Pages {
    host: String,
}

impl Pages {
    fn serve() -> Pages {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let own = host.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut buffer = [0; 4096];
                let n = stream.read(&mut buffer).unwrap_or(0);
                let asked = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let path = asked.split(' ').nth(1).unwrap_or_default();
                let redirect = |to: &str| (format!("302 Found\r\nLocation: {to}"), Vec::new());
                let (head, body) = match path {
                    "/cat.png" => ("200 OK".to_owned(), PNG.to_vec()),
                    "/hop" => redirect("/cat.png"),
                    "/to-metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
                    "/to-loopback" => redirect("http://127.0.0.1:1/"),
                    "/round" => redirect(&format!("http://{own}/round")),
                    "/large" => ("200 OK".to_owned(), bytes(2 * MIB)),
                    _ => ("404 Not Found".to_owned(), Vec::new()),
                };
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        Pages { host }
    }
}
