//! WeChat's voice messages: SILK, 24 kHz, mono; in a file a byte 0x02, `#!SILK_V3`, then packets of 20 ms, each behind its
//! length (u16, little-endian).
//!
//! What people send is not decoded here. Every decoder of SILK there is comes from one C source, which writes beyond its
//! buffers when a packet is made to (seen with AddressSanitizer), and voice messages come from strangers. The gateway gets
//! the file as WeChat sent it and the transcript that WeChat made.

use std::fs;
use std::io;
use std::path::Path;

const MARK: &[u8] = b"#!SILK_V3";
const PACKET_MS: u64 = 20;
/// Packets are short; a longer one is no packet.
const LONGEST_PACKET: usize = 1024;

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
        "audio/wav" | "audio/x-wav" | "audio/wave" => codec::encode(file)?,
        other => return Err(format!("{other} cannot be sent as a voice message; WAV and SILK can")),
    };
    let length = duration_ms(&silk).ok_or("it is no voice message that WeChat would play")?;
    fs::write(out, silk).map_err(described)?;
    Ok(length)
}

#[cfg(feature = "silk")]
mod codec {
    use std::path::Path;

    use silk_codec::{SilkCoder, TailPolicy};

    /// What the encoder takes.
    const RATES: [u32; 7] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000];
    const BIT_RATE: i32 = 24_000;

    /// Encodes a WAV file.
    pub fn encode(wav: &Path) -> Result<Vec<u8>, String> {
        let sound = read_wav(wav)?;
        if !RATES.contains(&sound.rate) {
            return Err(format!("a sample rate of {} Hz cannot be encoded", sound.rate));
        }
        let encoder = SilkCoder::builder().encoder().sample_rate(sound.rate as _).bit_rate(BIT_RATE as _);
        let mut coder = encoder.tail_policy(TailPolicy::PadWithSilence).build().map_err(|error| error.to_string())?;
        coder.encode(&sound.samples, true).map_err(|error| error.to_string())
    }

    /// Sound of one channel.
    struct Sound {
        /// Samples a second.
        rate: u32,
        samples: Vec<i16>,
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
}

#[cfg(not(feature = "silk"))]
mod codec {
    use std::path::Path;

    /// Encodes nothing.
    pub fn encode(_wav: &Path) -> Result<Vec<u8>, String> {
        Err("this build has no SILK codec (feature silk)".to_owned())
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

    #[cfg(feature = "silk")]
    #[test]
    fn a_second_of_sound_becomes_a_second_of_voice() {
        let dir = tempfile::tempdir().unwrap();
        let (wav, out) = (dir.path().join("a.wav"), dir.path().join("out"));
        let sample_format = hound::SampleFormat::Int;
        let spec = hound::WavSpec { channels: 2, sample_rate: 48_000, bits_per_sample: 16, sample_format };
        let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
        let tone = |n: u32| ((n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 10_000.0) as i16;
        (0..48_000).for_each(|n| (0..2).for_each(|_| writer.write_sample(tone(n)).unwrap()));
        writer.finalize().unwrap();
        assert_eq!(encode(&wav, "audio/wav", &out), Ok(1_000));
        let voice = fs::read(&out).unwrap();
        assert!(voice.starts_with(b"\x02#!SILK_V3") && voice.len() > 1_000, "{}", voice.len());
    }
}
