//! A voice message arrives as sound that everything can play, or, where it is damaged, as WeChat sent it and with the
//! reason; also after a kill, and also when it is quoted. What the bot says becomes voice where this build can encode it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Bot, Sidecar, World, text};
use ilink_simulator::{Content, Endpoint, FaultKind, Media, MediaKind, Quote};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

const ANN: &str = "ann@im.wechat";
const VOICE: &[u8] = include_bytes!("../crates/silk-decoder/testdata/24khz.silk");
/// The MD5 of the samples that the reference decoder makes of it: at 24 kHz they are what the WAV has.
const SAMPLES: &str = "642fd55fa3193ceceb653af38f2a621f";
/// The header of a WAV file, and 1.2 seconds.
const WAV_SIZE: usize = 44 + 1_200 * 24 * 2;

fn voice(bytes: &[u8]) -> Content {
    Content::Voice { media: Media::bytes(bytes), encode_type: None, playtime: Some(1_000), text: Some("hi".to_owned()) }
}

fn next(sidecar: &Sidecar) -> Value {
    let count = sidecar.seen().deliveries.len();
    let message = sidecar.deliveries(count + 1)[count].clone();
    sidecar.ack([&message]);
    message
}

/// Ann says something; how it arrives.
fn heard(world: &World, sidecar: &Sidecar, bot: &Bot, content: Content) -> Value {
    world.sends(bot, ANN, vec![content]);
    next(sidecar)
}

fn assert_is_the_voice(part: &Value) {
    assert_eq!(
        (text(part, "type"), text(part, "mime"), &part["error"]),
        ("voice", "audio/wav", &Value::Null),
        "{part}"
    );
    assert_eq!(
        (part["sizeBytes"].as_u64(), part["durationMs"].as_u64()),
        (Some(WAV_SIZE as u64), Some(1_200)),
        "{part}"
    );
    let wav = fs::read(text(part, "path")).unwrap();
    assert_eq!((&wav[..4], &wav[8..16], wav.len()), (&b"RIFF"[..], &b"WAVEfmt "[..], WAV_SIZE));
    // PCM, one channel, 24,000 samples a second of 16 bits.
    assert_eq!(wav[20..28], [1, 0, 1, 0, 0xc0, 0x5d, 0, 0]);
    let md5: String = Md5::digest(&wav[44..]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(md5, SAMPLES);
}

/// The files of the folder that a path is in.
fn beside(path: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(Path::new(path).parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_voice_message_arrives_as_wav_with_its_transcript() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let message = heard(&world, &sidecar, &bot, voice(VOICE));
    let part = &message["parts"][0];
    assert_is_the_voice(part);
    assert_eq!((text(&message, "text"), text(part, "transcript")), ("hi", "hi"));
    assert_eq!(beside(text(part, "path")), [PathBuf::from(text(part, "path"))], "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(text(part, "path")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_damaged_voice_message_arrives_as_it_is_and_says_why() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let whole = VOICE.len();
    for (damaged, why) in [
        (VOICE[..whole - 1].to_vec(), "it ends in the middle of packet 60"),
        ([&VOICE[..10], &[3, 0, 0xff, 0xff, 0xff][..], &VOICE[10..]].concat(), "packet 1 is damaged"),
        (VOICE[..10].to_vec(), "it has no sound in it"),
    ] {
        let message = heard(&world, &sidecar, &bot, voice(&damaged));
        let part = &message["parts"][0];
        assert_eq!((text(part, "mime"), text(&message, "text")), ("audio/silk", "hi"), "{part}");
        assert!(text(part, "error").contains(why), "{part}");
        assert_eq!(fs::read(text(part, "path")).unwrap(), damaged);
        assert_eq!((part["durationMs"].as_u64(), beside(text(part, "path")).len()), (Some(1_000), 1));
    }
}

#[test]
fn other_formats_and_files_are_as_they_were_sent() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let amr = b"#!AMR\n and sound".as_slice();
    let message = heard(&world, &sidecar, &bot, voice(amr));
    let part = &message["parts"][0];
    assert_eq!((text(part, "mime"), &part["error"]), ("audio/amr", &Value::Null));
    assert_eq!(fs::read(text(part, "path")).unwrap(), amr);
    let file = Content::File { media: Media::bytes(VOICE), file_name: "song.silk".to_owned(), md5: None, len: None };
    let message = heard(&world, &sidecar, &bot, file);
    let part = &message["parts"][0];
    assert_eq!((text(part, "type"), text(part, "mime"), &part["error"]), ("file", "audio/silk", &Value::Null));
    assert_eq!(fs::read(text(part, "path")).unwrap(), VOICE);
}

#[test]
fn a_kill_at_any_point_brings_the_same_sound_and_fetches_nothing_again() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    world.sends(&bot, ANN, vec![voice(VOICE), voice(&VOICE[..50])]);
    let first = sidecar.deliveries(1)[0].clone();
    assert_is_the_voice(&first["parts"][0]);
    assert!(text(&first["parts"][1], "error").contains("cannot be decoded"), "{first}");
    sidecar.kill();
    let downloads = world.requests(&bot, Endpoint::CdnDownload);
    world.lasting_fault(Endpoint::CdnDownload, FaultKind::Status(500));

    let wav = PathBuf::from(text(&first["parts"][0], "path"));
    let silk = wav.with_extension("silk");
    // How far a sidecar can have come that was killed: before the WAV is whole, before the SILK is removed, behind both.
    let stages: [(&str, &dyn Fn()); 3] = [
        ("half a WAV", &|| {
            fs::rename(&wav, wav.with_extension("wav.01234567.part")).unwrap();
            fs::write(&silk, VOICE).unwrap();
        }),
        ("both files", &|| fs::write(&silk, VOICE).unwrap()),
        ("done", &|| ()),
    ];
    for (stage, leave) in stages {
        leave();
        let again = world.sidecar();
        again.start_account(&bot);
        let message = again.deliveries(1)[0].clone();
        assert_eq!(message["deliveryId"], first["deliveryId"], "{stage}");
        assert_eq!(message["parts"], first["parts"], "{stage}");
        assert_is_the_voice(&message["parts"][0]);
        assert!(!silk.exists(), "{stage}");
        again.kill();
    }
    assert_eq!(world.requests(&bot, Endpoint::CdnDownload), downloads);
}

#[test]
fn a_quoted_voice_message_is_sound_too() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let said = heard(&world, &sidecar, &bot, voice(VOICE));
    let id = text(&said, "messageId").parse().unwrap();
    world.quotes(&bot, ANN, "what was that?", Quote::of(id));
    let quoting = next(&sidecar);
    let quoted = &quoting["quote"];
    assert_eq!((text(quoted, "text"), &quoted["resolved"]), ("hi", &json!(true)));
    assert_is_the_voice(&quoted["media"]);
    assert_eq!(quoted["media"]["path"], said["parts"][0]["path"]);
}

#[test]
fn sound_is_sent_as_voice_where_this_build_can_encode_it_and_as_a_file_else() {
    let world = World::new();
    let bot = world.bot();
    let start = |fallback: bool| {
        let config = json!({ "voice": { "send": true, "fallback": fallback }, "outbox": { "notice": false } });
        let sidecar = world.launch().with("config", config).start();
        sidecar.start_account(&bot);
        sidecar
    };
    let sidecar = start(true);
    world.writes(&bot, ANN, "say something");
    next(&sidecar);
    let path = world.state.path().join("tone.mp3");
    fs::write(&path, include_bytes!("../src/media/testdata/tone.mp3")).unwrap();
    let params = json!({ "to": ANN, "path": path, "kind": "voice" });
    assert_eq!(sidecar.call("outbound.sendMedia", params.clone())["status"], "sent");
    let sent = world.sent().pop().unwrap();
    let said = sent.media.as_ref().unwrap();
    let content = world.control.sent_bytes(&sent).unwrap();
    if cfg!(feature = "silk") {
        assert_eq!(said.kind, MediaKind::Voice);
        assert!((500..=580).contains(&said.playtime.unwrap()) && content.starts_with(b"\x02#!SILK_V3"));
        return;
    }
    assert_eq!((said.kind, content), (MediaKind::File, fs::read(&path).unwrap()));
    sidecar.kill();
    let error = start(false).refused("outbound.sendMedia", params);
    assert!(text(&error, "message").contains("audio/mpeg: send SILK, or build it with `--features silk`"), "{error}");
}
