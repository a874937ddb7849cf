//! Sound files that are to become voice messages: one channel, 16 bits, at a rate that the encoder takes.
//!
//! Their decoders are safe Rust, but for the vector instructions of `opus-pure`. What comes out is limited: a file of a few
//! bytes may say that it plays for days.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use nanomp3::Channels;
use opus_pure::{MAX_PACKET_SAMPLES, OggOpusReader, Trim};

/// What the encoder takes, in samples a second.
const RATES: [u32; 7] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000];
/// What Opus is asked for: voice has no more in it.
const OPUS_RATE: u32 = 24_000;

/// Sound of one channel.
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    pub samples: Vec<i16>,
}

/// Reads a file. Blocks.
pub fn read(file: &Path, mime: &str) -> Result<Sound, String> {
    let sound = match mime {
        "audio/wav" => read_wav(file)?,
        "audio/mpeg" => read_mp3(file)?,
        "audio/opus" => read_opus(file)?,
        other => {
            return Err(format!("{other} cannot be sent as a voice message; SILK, WAV, MP3 and Ogg with Opus can"));
        }
    };
    if sound.samples.is_empty() {
        return Err("it has no sound in it".to_owned());
    }
    fitting(sound)
}

/// Collects frames of several channels as one, up to the limit.
struct Mixer {
    channels: usize,
    most: usize,
    samples: Vec<i16>,
}

impl Mixer {
    fn new(channels: usize, rate: u32) -> Mixer {
        let most = usize::try_from(u64::from(rate) * silk_decoder::LONGEST).unwrap_or(usize::MAX);
        Mixer { channels: channels.max(1), most, samples: Vec::new() }
    }

    fn push(&mut self, frame: impl ExactSizeIterator<Item = i16>) -> Result<(), String> {
        if self.samples.len() >= self.most {
            return Err(silk_decoder::Error::TooLong.to_string());
        }
        let count = frame.len().max(1) as i32;
        self.samples.push((frame.map(i32::from).sum::<i32>() / count) as i16);
        Ok(())
    }

    fn push_all(&mut self, interleaved: &[i16]) -> Result<(), String> {
        interleaved.chunks_exact(self.channels).try_for_each(|frame| self.push(frame.iter().copied()))
    }
}

fn open(file: &Path) -> Result<BufReader<File>, String> {
    File::open(file).map(BufReader::new).map_err(|error| error.to_string())
}

fn read_wav(file: &Path) -> Result<Sound, String> {
    let described = |error: hound::Error| format!("the WAV file cannot be read: {error}");
    let mut reader = hound::WavReader::new(open(file)?).map_err(described)?;
    let spec = reader.spec();
    let mut mixer = Mixer::new(spec.channels.into(), spec.sample_rate);
    let mut frame = Vec::with_capacity(mixer.channels);
    let mut take = |sample: i16| {
        frame.push(sample);
        if frame.len() == mixer.channels { mixer.push(frame.drain(..)) } else { Ok(()) }
    };
    match spec.sample_format {
        hound::SampleFormat::Int => {
            let bits = u32::from(spec.bits_per_sample).clamp(1, 32);
            for sample in reader.samples::<i32>() {
                // The upper 16 of 32.
                take(((sample.map_err(described)? << (32 - bits)) >> 16) as i16)?;
            }
        }
        hound::SampleFormat::Float => {
            for sample in reader.samples::<f32>() {
                take((sample.map_err(described)? * f32::from(i16::MAX)) as i16)?;
            }
        }
    }
    Ok(Sound { rate: spec.sample_rate, samples: mixer.samples })
}

fn read_mp3(file: &Path) -> Result<Sound, String> {
    let described = |error: nanomp3::Error| format!("the MP3 file cannot be read: {error}");
    let options = nanomp3::Options::default().skip_scan(true);
    let mut reader = nanomp3::Reader::<_, i16>::with_options(open(file)?, options).map_err(described)?;
    let channels = match reader.channels() {
        Some(Channels::Stereo) => 2,
        _ => 1,
    };
    let rate = reader.sample_rate();
    let mut mixer = Mixer::new(channels, rate);
    while let Some(frame) = reader.read_frame().map_err(described)? {
        mixer.push_all(frame)?;
    }
    Ok(Sound { rate, samples: mixer.samples })
}

fn read_opus(file: &Path) -> Result<Sound, String> {
    let described = |error: opus_pure::Error| format!("the Opus file cannot be read: {error}");
    let mut reader = OggOpusReader::new(open(file)?).map_err(described)?;
    let head = reader.head().clone();
    let channels = usize::from(head.channel_count);
    let mut decoder = head.decoder(OPUS_RATE as i32).map_err(described)?;
    let mut trim = Trim::new(&head, OPUS_RATE as i32, channels).map_err(described)?;
    let mut mixer = Mixer::new(channels, OPUS_RATE);
    let mut block = vec![0i16; MAX_PACKET_SAMPLES * channels];
    while let Some(packet) = reader.read_packet().map_err(described)? {
        let count = decoder.decode_s16(&packet.data, MAX_PACKET_SAMPLES, &mut block).map_err(described)?;
        mixer.push_all(trim.keep(&packet, &block[..count * channels]))?;
    }
    Ok(Sound { rate: OPUS_RATE, samples: mixer.samples })
}

/// Halves or doubles the rate until the encoder takes it. It resamples by itself, and voice is far below what that blurs.
fn fitting(mut sound: Sound) -> Result<Sound, String> {
    let told = sound.rate;
    let mean = |a: i16, b: i16| ((i32::from(a) + i32::from(b)) / 2) as i16;
    while !RATES.contains(&sound.rate) {
        if sound.rate > 48_000 && sound.rate.is_multiple_of(2) {
            sound.samples = sound.samples.chunks(2).map(|pair| mean(pair[0], pair[pair.len() - 1])).collect();
            sound.rate /= 2;
        } else if (1..=24_000).contains(&sound.rate) {
            let next = sound.samples.iter().skip(1).chain(sound.samples.last());
            sound.samples = sound.samples.iter().zip(next).flat_map(|(a, b)| [*a, mean(*a, *b)]).collect();
            sound.rate *= 2;
        } else {
            return Err(format!(
                "a sample rate of {told} Hz cannot be sent as a voice message; 24000 Hz is what it has"
            ));
        }
    }
    Ok(sound)
}
