//! A voice message as a WAV file: `cargo run -p silk-decoder --example to_wav voice.silk voice.wav`.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader};

use silk_decoder::OUTPUT_RATE;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        return Err("name two files: to_wav <voice.silk> <voice.wav>".into());
    };
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: OUTPUT_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(to, spec)?;
    let samples = silk_decoder::decode(BufReader::new(File::open(from)?), |piece| {
        piece.iter().try_for_each(|sample| wav.write_sample(*sample)).map_err(io::Error::other)
    })?;
    wav.finalize()?;
    println!("{to}: {} ms", samples * 1000 / u64::from(OUTPUT_RATE));
    Ok(())
}
