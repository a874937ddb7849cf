//! The decoder against the reference: files that its encoder made, and the MD5 of what its decoder made of them at the rate
//! of each packet, before any resampling.

use md5::{Digest as _, Md5};

use super::*;

const PAUSES: &[u8] = include_bytes!("../testdata/16khz-pauses.silk");
const PAUSES_TOLD: &[u8] = include_bytes!("../testdata/16khz-pauses-told.silk");
const LOUD: &[u8] = include_bytes!("../testdata/24khz-80ms-loud.silk");
const CHANGING: &[u8] = include_bytes!("../testdata/changing.silk");
const SHORT: &[u8] = include_bytes!("../testdata/8khz.silk");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file's sound at the rates of its packets.
fn as_packed(file: &[u8]) -> Vec<i16> {
    let (mut packets, mut decoder, mut sound) = (Packets::open(file).unwrap(), Decoder::new(), Vec::new());
    while let Some(packet) = packets.next().unwrap() {
        decoder.packet(packet, |_, frame| sound.extend_from_slice(frame)).unwrap();
    }
    sound
}

fn decoded(file: &[u8]) -> Result<Vec<i16>, Error> {
    let mut sound = Vec::new();
    let samples = decode(file, |piece| {
        sound.extend_from_slice(piece);
        Ok(())
    })?;
    assert_eq!(samples, sound.len() as u64);
    Ok(sound)
}

/// The packets of a file, and the file with others in their place.
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut all) = (Packets::open(file).unwrap(), Vec::new());
    while let Some(packet) = packets.next().unwrap() {
        all.push(packet.to_vec());
    }
    all
}

fn file(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"\x02#!SILK_V3".to_vec();
    for packet in packets {
        file.extend((packet.len() as u16).to_le_bytes());
        file.extend(packet);
    }
    file
}

#[test]
fn the_sound_is_the_references_to_the_last_bit() {
    let files: [(&str, &[u8], &str); 8] = [
        ("8khz", SHORT, "dff060bd1d83e91ac04b3a0de4bee9bf"),
        ("12khz-60ms", include_bytes!("../testdata/12khz-60ms.silk"), "87361b23865cd2269ff702813b99157f"),
        // Its pitch reaches back behind what is kept: this is where the reference writes beyond its buffers.
        ("12khz-far-back", include_bytes!("../testdata/12khz-far-back.silk"), "5c64357b2f422c9a8caf823e7ce91563"),
        (
            "16khz-100ms-repeats",
            include_bytes!("../testdata/16khz-100ms-repeats.silk"),
            "97b4ba2e75d8919c672d3410c593fcef",
        ),
        ("24khz", include_bytes!("../testdata/24khz.silk"), "642fd55fa3193ceceb653af38f2a621f"),
        ("24khz-80ms-loud", LOUD, "18e12df5adc3e0c1b35d2ac6e111a5af"),
        ("changing", CHANGING, "43b3c405fc9e4dc50b2427e0056812bb"),
        ("quiet-to-8khz", include_bytes!("../testdata/quiet-to-8khz.silk"), "ff2aa12840930169c625e8bff28298ba"),
    ];
    for (name, file, md5) in files {
        let bytes: Vec<u8> = as_packed(file).iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!(hex(&Md5::digest(&bytes)), md5, "{name}");
    }
}

#[test]
fn what_comes_out_is_24_khz_of_the_right_length() {
    assert_eq!(decoded(LOUD).unwrap(), as_packed(LOUD), "24 kHz passes as it is");
    for (file, seconds) in [(SHORT, 1.2), (CHANGING, 2.4), (PAUSES, 3.0)] {
        assert_eq!(decoded(file).unwrap().len(), (seconds * 24_000.0) as usize);
    }
}

#[test]
fn packets_that_are_missing_are_silent_and_what_follows_is_heard() {
    let (missing, told) = (as_packed(PAUSES), as_packed(PAUSES_TOLD));
    let loudest = |frame: &[i16]| frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    let (mut gaps, mut heard) = (0, 0);
    let packets = packets(PAUSES);
    for (i, (frame, told)) in missing.chunks(320).zip(told.chunks(320)).enumerate() {
        if packets[i].is_empty() && i > 0 && packets[i - 1].is_empty() {
            assert!(loudest(frame) < 40, "frame {i}: {}", loudest(frame));
            gaps += 1;
        } else if loudest(told) > 2000 {
            // The encoder too went another way, so it is not the same sound; but it is as loud.
            let ratio = f32::from(loudest(frame)) / f32::from(loudest(told));
            assert!((0.5..2.0).contains(&ratio), "frame {i}: {ratio}");
            heard += 1;
        }
    }
    assert!(gaps > 10 && heard > 50, "{gaps} {heard}");
}

#[test]
fn a_missing_packet_is_as_long_as_the_last_and_the_voice_dies_away_in_it() {
    let mut all = packets(LOUD);
    all.truncate(3);
    all.extend([Vec::new(), Vec::new()]);
    let sound = as_packed(&file(&all));
    assert_eq!(sound.len(), 5 * 4 * 480);
    let jumps = sound.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs());
    let jumps: Vec<i32> = jumps.collect();
    let voice = jumps[..3 * 1920 - 1].iter().max();
    assert!(jumps[3 * 1920 - 1..].iter().max() < voice, "no click");
    assert!(sound[3 * 1920 + 960..].iter().all(|sample| sample.unsigned_abs() < 40));
    // Nothing to die away: a file may begin with it.
    assert_eq!(as_packed(&file(&[Vec::new()])).len(), 480);
}

#[test]
fn a_file_that_is_none_or_is_cut_says_so() {
    for none in [&b""[..], b"\x02", b"RIFF", b"\x02#!SILK_V2", b"#!AMR\n"] {
        assert!(matches!(decoded(none), Err(Error::NotSilk)), "{none:?}");
    }
    assert!(matches!(decoded(b"#!SILK_V3"), Err(Error::Empty)));
    assert!(matches!(decoded(b"\x02#!SILK_V3\xff\xff"), Err(Error::Empty)));
    let whole = file(&packets(SHORT)[..3]);
    let ends: Vec<usize> = (1..=3).map(|n| file(&packets(SHORT)[..n]).len()).collect();
    for cut in 11..whole.len() {
        let is_whole = decoded(&whole[..cut]).is_ok();
        assert_eq!(is_whole, ends.contains(&cut), "{cut} bytes");
    }
    let marked = [&whole, &b"\xff\xffwhatever"[..]].concat();
    assert_eq!(decoded(&marked).unwrap(), decoded(&whole).unwrap());
    assert_eq!(decoded(&whole[1..]).unwrap(), decoded(&whole).unwrap());
}

#[test]
fn a_damaged_packet_is_named() {
    let mut all = packets(SHORT);
    all[4].truncate(5);
    let error = decode(&file(&all)[..], |_| Ok(())).unwrap_err().to_string();
    assert_eq!(error, "packet 5 is damaged: it is too short for what it says");
    all[4] = vec![7; 1025];
    let error = decode(&file(&all)[..], |_| Ok(())).unwrap_err().to_string();
    assert_eq!(error, "packet 5 is damaged: it is longer than 1024 bytes");
}

#[test]
fn whatever_a_packet_says_it_is_sound_or_an_error() {
    let all = packets(CHANGING);
    let mut seed = 7;
    let mut random = |below: usize| {
        seed = fixed::next_random(seed);
        (seed >> 8) as u32 as usize % below
    };
    let (mut sounds, mut errors) = (0, 0);
    for round in 0..400 {
        let start = random(all.len() - 4);
        let mut some = all[start..start + 4].to_vec();
        for packet in &mut some {
            match round % 3 {
                0 => *packet = (0..1 + random(1023)).map(|_| random(256) as u8).collect(),
                1 => packet.iter_mut().for_each(|byte| *byte ^= if random(9) == 0 { random(256) as u8 } else { 0 }),
                _ => packet[0] = random(256) as u8,
            }
        }
        match decoded(&file(&some)) {
            Ok(sound) => sounds += usize::from(sound.len() >= 4 * 480),
            Err(_) => errors += 1,
        }
    }
    assert!(sounds > 20 && errors > 20, "{sounds} {errors}");
}

#[test]
fn ten_minutes_are_enough() {
    let most = LONGEST as usize * 24_000;
    let mut sounding = 0;
    let endless = file(&vec![Vec::new(); most / 480 + 100]);
    let result = decode(&endless[..], |piece| {
        sounding += piece.len();
        Ok(())
    });
    assert!(matches!(result, Err(Error::TooLong)), "{result:?}");
    assert!((most - 480..=most).contains(&sounding), "{sounding} samples");
}
