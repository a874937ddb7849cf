//! WeChat's voice messages: SILK, 24 kHz, mono. What people send becomes WAV, which everything can play; what the bot says
//! becomes SILK.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use super::silk;

const WAV: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: silk::OUTPUT_RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

/// Makes a WAV file of a SILK file, beside it, and removes that one. Returns where it is. It has its name only when it is
/// whole; where this fails the SILK file stays. Blocks.
pub fn decode(file: &Path) -> Result<PathBuf, silk::Error> {
    let wav = file.with_extension("wav");
    // A name of its own, for a message may be delivered again while this is still at work.
    let part = file.with_extension(format!("wav.{:08x}.part", rand::random::<u32>()));
    let done = write_wav(file, &part).and_then(|()| Ok(fs::rename(&part, &wav)?));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done?;
    // Whoever is killed before this finds the SILK file first, and decodes it again.
    let _ = fs::remove_file(file);
    Ok(wav)
}

fn write_wav(file: &Path, out: &Path) -> Result<(), silk::Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let input = BufReader::new(File::open(file)?);
    let mut writer = hound::WavWriter::new(BufWriter::new(options.open(out)?), WAV).map_err(io_error)?;
    silk::decode(input, |samples| {
        samples.iter().try_for_each(|sample| writer.write_sample(*sample)).map_err(io_error)
    })?;
    writer.finalize().map_err(io_error)?;
    Ok(())
}

/// How long a WAV file plays, in milliseconds; `None` where it is none. Blocks.
pub fn wav_duration_ms(file: &Path) -> Option<u64> {
    let reader = hound::WavReader::open(file).ok()?;
    (u64::from(reader.duration()) * 1000).checked_div(reader.spec().sample_rate.into())
}

/// How long a SILK file plays, in milliseconds. Reads all of it.
fn silk_duration_ms(file: &[u8]) -> Result<u64, silk::Error> {
    let samples = silk::decode(file, |_| Ok(()))?;
    Ok(samples * 1000 / u64::from(silk::OUTPUT_RATE))
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
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
        "audio/wav" => codec::encode(file)?,
        other => return Err(format!("{other} cannot be sent as a voice message; WAV and SILK can")),
    };
    let length = silk_duration_ms(&silk).map_err(|error| format!("WeChat would not play it: {error}"))?;
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

    const VOICE: &[u8] = include_bytes!("silk/testdata/16khz-100ms-repeats.silk");

    #[test]
    fn a_voice_message_becomes_wav_and_a_damaged_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0-voice.silk");
        let there = || {
            let entries = fs::read_dir(dir.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        fs::write(&file, &VOICE[..VOICE.len() / 2]).unwrap();
        assert!(matches!(decode(&file), Err(silk::Error::Cut { .. })));
        assert_eq!(there(), ["0-voice.silk"]);

        fs::write(&file, VOICE).unwrap();
        let wav = decode(&file).unwrap();
        assert_eq!(there(), ["0-voice.wav"]);
        assert_eq!(wav_duration_ms(&wav), Some(1200));
        let mut samples = Vec::new();
        silk::decode(VOICE, |piece| {
            samples.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        let mut reader = hound::WavReader::open(&wav).unwrap();
        assert_eq!(reader.spec(), WAV);
        assert_eq!(reader.samples::<i16>().collect::<Result<Vec<_>, _>>().unwrap(), samples);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&wav).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(wav_duration_ms(&file), None);
    }

    #[test]
    fn a_silk_file_is_sent_as_it_is_with_wechats_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("a.silk"), dir.path().join("out"));
        fs::write(&file, VOICE).unwrap();
        assert_eq!(encode(&file, "audio/silk", &out), Ok(1200));
        assert_eq!(fs::read(&out).unwrap(), [&[2], VOICE].concat());
        fs::write(&file, &VOICE[..200]).unwrap();
        let error = encode(&file, "audio/silk", &out).unwrap_err();
        assert!(error.starts_with("WeChat would not play it: it ends in the middle of packet"), "{error}");
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
