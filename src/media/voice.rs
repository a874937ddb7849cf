//! WeChat's voice messages: SILK, 24 kHz, mono; in a file a byte 0x02, `#!SILK_V3`, then packets of 20 ms, each behind its
//! length (u16, little-endian).
//!
//! The codec is C, and files come from strangers: a note is left beside a file while it is decoded, so that one that
//! brought the process down is not tried a second time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// WeChat's voice messages end after a minute; this is ten of them, uncompressed in memory.
const LONGEST: u64 = 4 * 1024 * 1024;
const MARK: &[u8] = b"#!SILK_V3";
const PACKET_MS: u64 = 20;
/// Packets are short; a longer one is no packet.
const LONGEST_PACKET: usize = 1024;

/// The sample rate of WeChat's voice messages.
pub const RATE: u32 = 24_000;

/// Decodes the SILK file `silk` into a WAV file beside it. Returns the new file; the old one stays. Blocks.
pub fn decode(silk: &Path) -> Result<PathBuf, String> {
    let wav = silk.with_extension("wav");
    let note = silk.with_extension("decoding");
    if note.exists() {
        return Err("it could not be decoded before".to_owned());
    }
    let described = |error: io::Error| error.to_string();
    if fs::metadata(silk).map_err(described)?.len() > LONGEST {
        return Err("it is too long to be decoded".to_owned());
    }
    let bytes = fs::read(silk).map_err(described)?;
    if duration_ms(&bytes).is_none() {
        return Err("it is damaged".to_owned());
    }
    fs::write(&note, "").map_err(described)?;
    let decoded = codec::decode(&bytes);
    let _ = fs::remove_file(&note);
    write_wav(&wav, &decoded?).map_err(|error| error.to_string())?;
    Ok(wav)
}

/// How long a SILK file plays; `None` where it is none, or cut.
pub fn duration_ms(silk: &[u8]) -> Option<u64> {
    let mut rest = silk.strip_prefix(&[2]).unwrap_or(silk).strip_prefix(MARK)?;
    let mut packets = 0;
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        // The standard's end mark; WeChat leaves it out.
        if length == 0xffff {
            break;
        }
        if length > LONGEST_PACKET || length > behind.len() {
            return None;
        }
        rest = &behind[length..];
        packets += 1;
    }
    (packets > 0).then_some(packets * PACKET_MS)
}

/// Makes a WeChat voice message of a SILK or WAV file: writes it to `out` and returns how long it plays, in milliseconds.
/// Blocks.
pub fn encode(file: &Path, mime: &str, out: &Path) -> Result<u64, String> {
    let described = |error: io::Error| error.to_string();
    let silk = match mime {
        "audio/silk" => {
            let bytes = fs::read(file).map_err(described)?;
            match bytes.first() {
                Some(2) => bytes,
                _ => [&[2], bytes.as_slice()].concat(),
            }
        }
        "audio/wav" | "audio/x-wav" | "audio/wave" => codec::encode(&read_wav(file)?)?,
        other => return Err(format!("{other} cannot be sent as a voice message; WAV and SILK can")),
    };
    let length = duration_ms(&silk).ok_or("it is no voice message that WeChat would play")?;
    fs::write(out, silk).map_err(described)?;
    Ok(length)
}

/// Sound of one channel.
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

fn write_wav(file: &Path, sound: &Sound) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: sound.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(file, spec)?;
    sound.samples.iter().try_for_each(|sample| writer.write_sample(*sample))?;
    writer.finalize()
}

fn read_wav(file: &Path) -> Result<Sound, String> {
    let described = |error: hound::Error| error.to_string();
    let mut reader = hound::WavReader::open(file).map_err(described)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels.max(1));
    let samples: Vec<i32> = match spec.sample_format {
        hound::SampleFormat::Int => {
            let shift = i32::from(spec.bits_per_sample) - 16;
            let to_16 = |sample: i32| if shift >= 0 { sample >> shift } else { sample << -shift };
            reader.samples::<i32>().map(|sample| sample.map(to_16)).collect::<Result<_, _>>().map_err(described)?
        }
        hound::SampleFormat::Float => {
            let to_16 = |sample: f32| (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)) as i32;
            reader.samples::<f32>().map(|sample| sample.map(to_16)).collect::<Result<_, _>>().map_err(described)?
        }
    };
    let mixed = samples.chunks(channels).map(|frame| {
        let mean = frame.iter().map(|sample| i64::from(*sample)).sum::<i64>() / frame.len() as i64;
        mean.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
    });
    Ok(Sound { rate: spec.sample_rate, samples: mixed.collect() })
}

#[cfg(feature = "silk")]
mod codec {
    use silk_codec::{SilkCoder, TailPolicy};

    use super::{RATE, Sound};

    /// What the encoder takes.
    const RATES: [u32; 7] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000];
    const BIT_RATE: i32 = 24_000;

    pub fn decode(silk: &[u8]) -> Result<Sound, String> {
        let mut coder =
            SilkCoder::builder().decoder().output_sample_rate(RATE as _).build().map_err(|error| error.to_string())?;
        let samples = coder.decode(silk).map_err(|error| error.to_string())?;
        Ok(Sound { rate: RATE, samples })
    }

    pub fn encode(sound: &Sound) -> Result<Vec<u8>, String> {
        if !RATES.contains(&sound.rate) {
            return Err(format!("a sample rate of {} Hz cannot be encoded", sound.rate));
        }
        let encoder = SilkCoder::builder().encoder().sample_rate(sound.rate as _).bit_rate(BIT_RATE as _);
        let mut coder = encoder.tail_policy(TailPolicy::PadWithSilence).build().map_err(|error| error.to_string())?;
        coder.encode(&sound.samples, true).map_err(|error| error.to_string())
    }
}

#[cfg(not(feature = "silk"))]
mod codec {
    use super::Sound;

    const MISSING: &str = "this build has no SILK codec (feature silk)";

    pub fn decode(_: &[u8]) -> Result<Sound, String> {
        Err(MISSING.to_owned())
    }

    pub fn encode(_: &Sound) -> Result<Vec<u8>, String> {
        Err(MISSING.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silk(packets: &[usize]) -> Vec<u8> {
        let mut bytes = b"\x02#!SILK_V3".to_vec();
        for length in packets {
            bytes.extend((*length as u16).to_le_bytes());
            bytes.extend(vec![7; *length]);
        }
        bytes
    }

    #[test]
    fn the_duration_is_counted_in_packets_and_damage_is_noticed() {
        assert_eq!(duration_ms(&silk(&[30, 40, 50])), Some(60));
        assert_eq!(duration_ms(&silk(&[30, 40])[1..]), Some(40));
        let ended = [silk(&[30]).as_slice(), &[0xff, 0xff]].concat();
        assert_eq!(duration_ms(&ended), Some(20));
        for damaged in [b"".as_slice(), b"RIFF", b"\x02#!SILK_V3", &silk(&[30])[..20], &silk(&[30, 5000])] {
            assert_eq!(duration_ms(damaged), None);
        }
    }

    #[test]
    fn a_silk_file_is_sent_as_it_is_with_wechats_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("a.silk"), dir.path().join("out"));
        fs::write(&file, &silk(&[30, 30])[1..]).unwrap();
        assert_eq!(encode(&file, "audio/silk", &out), Ok(40));
        assert_eq!(fs::read(&out).unwrap(), silk(&[30, 30]));
        fs::write(&file, "no voice").unwrap();
        assert!(encode(&file, "audio/silk", &out).is_err());
        assert!(encode(&file, "audio/mpeg", &out).unwrap_err().contains("WAV and SILK"));
    }

    #[test]
    fn a_file_that_brought_the_process_down_is_not_decoded_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0-voice.silk");
        fs::write(&file, silk(&[30])).unwrap();
        fs::write(dir.path().join("0-voice.decoding"), "").unwrap();
        assert!(decode(&file).unwrap_err().contains("before"));
    }

    #[cfg(feature = "silk")]
    #[test]
    fn a_tone_survives_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let (wav, voice) = (dir.path().join("a.wav"), dir.path().join("0-voice.silk"));
        let tone = |n: u32| ((n as f32 * 440.0 * std::f32::consts::TAU / RATE as f32).sin() * 10_000.0) as i16;
        let sound = Sound { rate: RATE, samples: (0..RATE).map(tone).collect() };
        write_wav(&wav, &sound).unwrap();
        assert_eq!(encode(&wav, "audio/wav", &voice), Ok(1_000));
        let back = read_wav(&decode(&voice).unwrap()).unwrap();
        assert_eq!((back.rate, back.samples.len()), (RATE, RATE as usize));
        let loud = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let ratio = loud(&back.samples) / loud(&sound.samples);
        assert!((0.8..1.2).contains(&ratio), "{ratio}");
    }
}
