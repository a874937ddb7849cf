//! The tables of the format. They are those of Skype's SILK SDK 1.0.9 (see `LICENSE-SILK` above this folder): numbers that
//! every decoder of the format has to share.
//!
//! A probability table is cumulative, from 0 to 65,535: symbol `n` has the range from entry `n` to entry `n + 1`.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `frame` | rate, type, gains, seed; the cosines |
//! | `nlsf_narrow`, `nlsf_wide` | codebooks of line spectral frequencies |
//! | `pitch` | lags, contours, the taps of the long-term predictor |
//! | `pulses` | the excitation |

pub mod frame;
pub mod nlsf_narrow;
pub mod nlsf_wide;
pub mod pitch;
pub mod pulses;

/// A codebook whose vectors are sums of one entry of each stage.
pub struct Codebook {
    /// Numbers in a vector.
    pub order: usize,
    /// The stages.
    pub stages: &'static [Stage],
    /// How far apart the numbers of a vector must be at least, and from 0 and 32,768.
    pub distances: &'static [i32],
}

/// A stage of a codebook.
pub struct Stage {
    /// The probabilities of its entries.
    pub cdf: &'static [u16],
    /// Its entries, one behind the other.
    pub vectors: &'static [i16],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_rise_from_nothing_to_all() {
        let mut all: Vec<&[u16]> = vec![
            &pitch::LAG_8,
            &pitch::LAG_12,
            &pitch::LAG_16,
            &pitch::LAG_24,
            &pitch::CONTOUR_8,
            &pitch::CONTOUR,
            &pitch::LTP_BOOK,
            &pitch::LTP_CDF_0,
            &pitch::LTP_CDF_1,
            &pitch::LTP_CDF_2,
            &pitch::LTP_SCALE,
            &pulses::LOW_BIT,
            &frame::RATE,
            &frame::TYPE,
            &frame::GAIN_STEP,
            &frame::INTERPOLATION,
            &frame::SEED,
            &frame::ACTIVITY,
            &frame::FOLLOWING,
        ];
        all.extend(pulses::RATE_LEVEL.iter().map(|row| row.as_slice()));
        all.extend(pulses::PULSES.iter().map(|row| row.as_slice()));
        all.extend(frame::TYPE_AFTER.iter().map(|row| row.as_slice()));
        all.extend(frame::GAIN.iter().map(|row| row.as_slice()));
        for book in [&nlsf_narrow::VOICED, &nlsf_narrow::UNVOICED, &nlsf_wide::VOICED, &nlsf_wide::UNVOICED] {
            assert_eq!(book.distances.len(), book.order + 1);
            assert!(book.distances.iter().sum::<i32>() < 32_768);
            for stage in book.stages {
                assert_eq!(stage.vectors.len(), book.order * (stage.cdf.len() - 1));
                all.push(stage.cdf);
            }
        }
        for cdf in all {
            assert_eq!((cdf.first(), cdf.last()), (Some(&0), Some(&65_535)));
            assert!(cdf.is_sorted(), "{cdf:?}");
        }
    }
}
