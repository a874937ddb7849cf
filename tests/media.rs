//! Media in both directions, byte for byte, whatever the size; and what people send: what is hostile or broken is said and
//! harms nothing.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::files::*;
use common::{World, text, until};
use ilink_simulator::{Address, Content, Damage, Endpoint, FaultKind, KeyEncoding, Media, MediaKind};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

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
    until("the spool to be empty", || fs::read_dir(world.state.channel().join("media/.spool")).unwrap().count() == 0);
}

#[test]
fn pictures_videos_and_voice_arrive_as_what_they_are_in_both_directions() {
    let world = World::new();
    let bot = world.bot();
    let sidecar = started(&world, &bot, json!({ "voice": { "send": true } }));
    world.hears(&sidecar, &bot, ANN);
    let silk = include_bytes!("../crates/silk-decoder/testdata/24khz.silk");
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
    // A file is tried three times in a row; the last case needs some more patience.
    for (kind, times) in [(FaultKind::Status(503), 2), (FaultKind::Truncate, 2), (FaultKind::Reset, 5)] {
        world.fault(Endpoint::CdnDownload, kind, times);
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

/// Needs a minute and 3 GiB of disk: `cargo test --release --test media -- --ignored`.
#[test]
#[cfg(target_os = "linux")]
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
    let before = common::memory(sidecar.pid(), "VmHWM");
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
    let grown = common::memory(sidecar.pid(), "VmHWM") - before;
    let rate = |time: Duration| 1024.0 / time.as_secs_f64();
    println!(
        "out {:.0} MiB/s, in {:.0} MiB/s, memory grew by {:.1} MiB",
        rate(out),
        rate(into),
        grown as f64 / MIB as f64
    );
    assert!(grown <= 16 << 20, "memory grew by {grown} bytes");
}
