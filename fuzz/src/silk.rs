//! Voice messages: packets behind the mark of a file.

/// Samples of 20 ms, and of the longest packet with what the resampler held back.
const FRAME: usize = 480;
const LONGEST_PIECE: usize = 6 * FRAME;

pub fn check(data: &[u8]) {
    let file = [b"\x02#!SILK_V3", data].concat();
    let (mut pieces, mut samples) = (0, 0);
    let decoded = silk_decoder::decode(&file[..], |piece| {
        assert!(piece.len() <= LONGEST_PIECE, "memory is bounded by the packet");
        (pieces, samples) = (pieces + 1, samples + piece.len());
        Ok(())
    });
    // Each packet has at least its length.
    assert!(pieces <= data.len() / 2 + 1);
    match decoded {
        Ok(said) => {
            assert_eq!(said, samples as u64);
            assert!(samples > 0 && samples.is_multiple_of(FRAME), "{samples} samples");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(samples as u64 <= silk_decoder::LONGEST * u64::from(silk_decoder::OUTPUT_RATE));
}
