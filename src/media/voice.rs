//! WeChat's voice messages: SILK, 24 kHz, mono. What people send becomes WAV, which everything can play; what the bot says
//! becomes SILK.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use crate::private;

const WAV: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: silk_decoder::OUTPUT_RATE,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};
/// Bytes before the samples.
const WAV_HEADER: u64 = 44;

/// The largest WAV that a voice message becomes, in bytes: 16 bits a sample, and a header.
pub const LARGEST: u64 = silk_decoder::LONGEST * silk_decoder::OUTPUT_RATE as u64 * 2 + 44;

/// Makes a WAV file of a SILK file, beside it, with at most `limit` bytes, and removes that one. Returns where it is. It has
/// its name only when it is whole; where this fails the SILK file stays. Blocks.
pub fn decode(file: &Path, limit: u64) -> Result<PathBuf, silk_decoder::Error> {
    let wav = file.with_extension("wav");
    // A name of its own, for a message may be delivered again while this is still at work.
    let part = file.with_extension(format!("wav.{:08x}.part", rand::random::<u32>()));
    let done = write_wav(file, &part, limit).and_then(|()| Ok(fs::rename(&part, &wav)?));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done?;
    // Whoever is killed before this finds the SILK file first, and decodes it again.
    let _ = fs::remove_file(file);
    Ok(wav)
}

fn write_wav(file: &Path, out: &Path, limit: u64) -> Result<(), silk_decoder::Error> {
    let input = BufReader::new(File::open(file)?);
    let mut writer = hound::WavWriter::new(BufWriter::new(private::new_file(out)?), WAV).map_err(io_error)?;
    let mut left = limit.saturating_sub(WAV_HEADER);
    silk_decoder::decode(input, |samples| {
        let rest = left.checked_sub(2 * samples.len() as u64);
        left = rest.ok_or_else(|| io::Error::other(format!("as WAV it is larger than {limit} bytes")))?;
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
fn silk_duration_ms(file: &[u8]) -> Result<u64, silk_decoder::Error> {
    let samples = silk_decoder::decode(file, |_| Ok(()))?;
    Ok(samples * 1000 / u64::from(silk_decoder::OUTPUT_RATE))
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// Makes a WeChat voice message of a file: writes it to `out` and returns how long it plays, in milliseconds. Blocks.
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
        _ => to_silk(file, mime)?,
    };
    let length = silk_duration_ms(&silk).map_err(|error| format!("WeChat would not play it: {error}"))?;
    fs::write(out, silk).map_err(described)?;
    Ok(length)
}

#[cfg(feature = "silk")]
fn to_silk(file: &Path, mime: &str) -> Result<Vec<u8>, String> {
    use silk_codec::{SilkCoder, TailPolicy};

    /// Bits a second.
    const BIT_RATE: i32 = 24_000;

    let sound = super::sound::read(file, mime)?;
    let encoder = SilkCoder::builder().encoder().sample_rate(sound.rate as i32).bit_rate(BIT_RATE);
    let mut coder = encoder.tail_policy(TailPolicy::PadWithSilence).build().map_err(|error| error.to_string())?;
    coder.encode(&sound.samples, true).map_err(|error| error.to_string())
}

#[cfg(not(feature = "silk"))]
fn to_silk(_file: &Path, mime: &str) -> Result<Vec<u8>, String> {
    Err(format!("this sidecar cannot make a voice message of {mime}: send SILK, or build it with `--features silk`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: &[u8] = include_bytes!("../../crates/silk-decoder/testdata/16khz-100ms-repeats.silk");

    #[test]
    fn a_voice_message_becomes_wav_and_a_damaged_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0-voice.silk");
        let there = || {
            let entries = fs::read_dir(dir.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        fs::write(&file, &VOICE[..VOICE.len() / 2]).unwrap();
        assert!(matches!(decode(&file, u64::MAX), Err(silk_decoder::Error::Cut { .. })));
        assert_eq!(there(), ["0-voice.silk"]);

        fs::write(&file, VOICE).unwrap();
        let size = WAV_HEADER + 1200 * 48;
        let error = decode(&file, size - 1).unwrap_err().to_string();
        assert_eq!(error, format!("as WAV it is larger than {} bytes", size - 1));
        assert_eq!(there(), ["0-voice.silk"]);
        let wav = decode(&file, size).unwrap();
        assert_eq!(fs::metadata(&wav).unwrap().len(), size);
        assert_eq!(there(), ["0-voice.wav"]);
        assert_eq!(wav_duration_ms(&wav), Some(1200));
        let mut samples = Vec::new();
        silk_decoder::decode(VOICE, |piece| {
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
        let error = encode(&file, "audio/flac", &out).unwrap_err();
        let hint = if cfg!(feature = "silk") { "SILK, WAV, MP3" } else { "`--features silk`" };
        assert!(error.contains("audio/flac") && error.contains(hint), "{error}");
    }

    /// What the decoder makes of a voice message made of `file`: 440 Hz must be what it mostly is.
    #[cfg(feature = "silk")]
    fn sent_and_heard(file: &Path, mime: &str) -> (u64, f32) {
        let out = file.with_extension("out");
        let duration = encode(file, mime, &out).unwrap();
        let voice = fs::read(&out).unwrap();
        assert!(voice.starts_with(b"\x02#!SILK_V3") && !voice.ends_with(&[0xff, 0xff]));
        let mut samples: Vec<f32> = Vec::new();
        silk_decoder::decode(&voice[..], |piece| {
            samples.extend(piece.iter().map(|sample| f32::from(*sample)));
            Ok(())
        })
        .unwrap();
        assert_eq!(samples.len() as u64, duration * 24);
        let (mut cosine, mut sine, mut all) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = n as f32 * 440.0 * std::f32::consts::TAU / 24_000.0;
            (cosine, sine, all) = (cosine + sample * angle.cos(), sine + sample * angle.sin(), all + sample * sample);
        }
        (duration, (cosine * cosine + sine * sine) * 2.0 / (all * samples.len() as f32))
    }

    #[cfg(feature = "silk")]
    #[test]
    fn wav_mp3_and_opus_become_voice_that_sounds_as_they_did() {
        let dir = tempfile::tempdir().unwrap();
        let fixtures: [(&str, &[u8], &str); 2] = [
            ("tone.mp3", include_bytes!("testdata/tone.mp3"), "audio/mpeg"),
            ("tone.opus", include_bytes!("testdata/tone.opus"), "audio/opus"),
        ];
        let mut files = Vec::new();
        for (name, bytes, mime) in fixtures {
            let file = dir.path().join(name);
            fs::write(&file, bytes).unwrap();
            files.push((file, mime));
        }
        for (rate, channels, bits) in [(48_000, 2, 16), (24_000, 1, 24), (22_050, 1, 8), (96_000, 2, 32)] {
            let file = dir.path().join(format!("{rate}.wav"));
            let sample_format = hound::SampleFormat::Int;
            let spec = hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format };
            let mut writer = hound::WavWriter::create(&file, spec).unwrap();
            let top = 2f64.powi(i32::from(bits) - 1) * 0.3;
            for n in 0..rate / 2 {
                let value = (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * top;
                (0..channels).for_each(|_| writer.write_sample(value as i32).unwrap());
            }
            writer.finalize().unwrap();
            files.push((file, "audio/wav"));
        }
        for (file, mime) in files {
            let (duration, tone) = sent_and_heard(&file, mime);
            assert!((500..=580).contains(&duration), "{}: {duration} ms", file.display());
            assert!(tone > 0.75, "{}: {tone} of it is the tone", file.display());
        }
    }

    #[cfg(feature = "silk")]
    #[test]
    fn what_is_no_sound_or_too_much_of_it_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("a"), dir.path().join("out"));
        for mime in ["audio/wav", "audio/mpeg", "audio/opus"] {
            for content in [&b""[..], b"no sound at all", &[0xff; 3000]] {
                fs::write(&file, content).unwrap();
                assert!(encode(&file, mime, &out).is_err_and(|why| !why.is_empty()), "{mime}");
            }
        }
        let sample_format = hound::SampleFormat::Int;
        let spec = hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 8, sample_format };
        let mut writer = hound::WavWriter::create(&file, spec).unwrap();
        (0..8000 * 601).for_each(|_| writer.write_sample(0i8).unwrap());
        writer.finalize().unwrap();
        assert_eq!(encode(&file, "audio/wav", &out).unwrap_err(), "it plays for more than 10 minutes");
        assert!(!out.exists());
    }
}
