//! Files that go out: thumbnails, uploads that fail, files that are held; what may be read, and from where. Tool progress.

mod common;

use std::fs;

use common::files::*;
use common::{World, text};
use ilink_simulator::{Endpoint, FaultKind, LimitsPatch, Media, MediaKind};
use serde_json::{Value, json};

/// A photograph-like JPEG.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, (x / 3 + y / 5) as u8]));
    pixels.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

#[test]
fn a_picture_goes_without_a_thumbnail_unless_somebody_wants_one() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    send(&sidecar, &outgoing(&world, "a.jpg", &photo(600, 300)), json!({}));
    let sent = last_sent(&world);
    assert!(sent.media.as_ref().unwrap().thumb.is_none());
    let announced = world.control.sent_content(&sent).unwrap().announced.unwrap();
    assert!(!announced.thumb, "{announced:?}");
}

#[test]
fn a_picture_brings_its_thumbnail_and_does_not_fail_with_it() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "thumbnails": true }));
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
    assert!(!text(&error, "message").contains("file type not allowed"), "{error}");
    assert!(sidecar.log().iter().any(|line| line.contains("file type not allowed")));
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
fn a_file_whose_send_is_refused_leaves_no_copy_behind() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({}));
    world.hears(&sidecar, &bot, ANN);
    let path = outgoing(&world, "a.bin", &bytes(1000));
    let text = "a line of its own\n\n".repeat(30_000);
    let params = json!({ "to": ANN, "path": path, "text": text });
    let error = sidecar.refused("outbound.sendMedia", params);
    assert!(common::text(&error, "message").contains("WeChat messages"), "{error}");
    let spool = world.state.path().join("openclaw-weixin/media/.spool");
    assert_eq!(fs::read_dir(spool).unwrap().count(), 0);
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
    let (secret, link) = (outside.path().join("secret"), world.state.path().join("link"));
    #[cfg(unix)]
    std::os::unix::fs::symlink(secret, link).unwrap();
    // Where nobody may make links there is no such file to begin with.
    #[cfg(not(unix))]
    drop((secret, link));
    let elsewhere = if cfg!(unix) { "media_denied" } else { "media_unreadable" };
    fs::create_dir(world.state.path().join("folder")).unwrap();
    let in_state = |name: &str| world.state.path().join(name).to_str().unwrap().to_owned();
    // As many as there are folders above, wherever a system has its temporary ones.
    let up = "../".repeat(std::fs::canonicalize(world.state.path()).unwrap().components().count() - 1);
    for (path, kind) in [
        (outside.path().join("secret").to_str().unwrap().to_owned(), "media_denied"),
        (in_state("link"), elsewhere),
        (in_state(&format!("{up}etc/passwd")), elsewhere),
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
        "http://localhost:1/",
        "ftp://127.0.0.1:1/x",
        "nonsense",
    ] {
        let error = refused(&sidecar, json!({ "url": url }));
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(-32031), &json!("media_denied")),
            "{url}: {error}"
        );
    }
    for params in [json!({}), json!({ "path": "/a", "url": "http://127.0.0.1:1/" })] {
        assert_eq!(refused(&sidecar, params)["data"]["kind"], "invalid_params");
    }
    assert_eq!(world.sent().len(), 0);
}

#[test]
fn without_media_roots_only_what_came_in_a_conversation_goes_back_to_it() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = world.launch().with("mediaRoots", Value::Null).start();
    sidecar.start_account(&bot);
    world.hears(&sidecar, &bot, "bob@im.wechat");
    world.sends(&bot, ANN, vec![file("report.txt", Media::bytes("figures"))]);
    let message = sidecar.deliveries(2).pop().unwrap();
    sidecar.ack([&message]);
    let path = text(&message["parts"][0], "path").to_owned();
    let send = |to: &str, path: &str| json!({ "to": to, "path": path });
    let sent = sidecar.call("outbound.sendMedia", send(ANN, &path));
    assert_eq!(text(&sent, "status"), "sent");
    let other = sidecar.refused("outbound.sendMedia", send("bob@im.wechat", &path));
    assert_eq!(other["data"]["kind"], "media_denied", "it is Ann's: {other}");
    world.state.write("openclaw.json", "{}");
    for inside in ["openclaw.json".to_owned(), format!("openclaw-weixin/accounts/{}.json", bot.account)] {
        let error =
            sidecar.refused("outbound.sendMedia", send(ANN, world.state.path().join(&inside).to_str().unwrap()));
        assert_eq!(error["data"]["kind"], "media_denied", "{inside}: {error}");
    }
    assert!(text(&sidecar.refused("outbound.sendMedia", send(ANN, "/etc/hostname")), "message").contains("mediaRoots"));
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
                let own = own.clone();
                // Whoever has read enough leaves, and must not keep the next one waiting.
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    let n = stream.read(&mut buffer).unwrap_or(0);
                    let asked = String::from_utf8_lossy(&buffer[..n]).into_owned();
                    let path = asked.split(' ').nth(1).unwrap_or_default();
                    let redirect = |to: &str| (format!("302 Found\r\nLocation: {to}"), Vec::new());
                    let (head, body) = match path {
                        "/cat.png" => ("200 OK".to_owned(), PNG.to_vec()),
                        "/hop" => redirect("/cat.png"),
                        "/to-loopback" => redirect("http://127.0.0.1:1/"),
                        "/round" => redirect(&format!("http://{own}/round")),
                        "/large" => ("200 OK".to_owned(), bytes(2 * MIB)),
                        _ => ("404 Not Found".to_owned(), Vec::new()),
                    };
                    let head =
                        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
                });
            }
        });
        Pages { host }
    }
}
