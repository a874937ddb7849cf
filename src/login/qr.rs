//! The login link as something that a phone can scan: a PNG for pages, block characters for terminals and for text.
//!
//! The code is made with the lowest error correction: a screen has no dirt and no folds, and fewer modules are larger
//! ones, and fit in a narrow terminal. Each form has the quiet zone of four modules that ISO/IEC 18004 asks for.

use std::fmt;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Luma};
use qrcode::EcLevel;
use qrcode::render::unicode::Dense1x2;

/// Pixels along the side of a module.
const PIXELS: u32 = 8;

/// Black on white, by the fixed colours of the 256-colour palette: themes redefine the first sixteen.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// Why there is no QR code for a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// There is nothing to encode.
    #[error("cannot draw a QR code of an empty text")]
    Empty,
    /// The text is longer than the largest QR code holds.
    #[error(
        "cannot draw a QR code of a text of {bytes} bytes: it is too long, at most 2953 bytes fit; show the link itself"
    )]
    TooLong {
        /// The length of the text.
        bytes: usize,
    },
}

/// A QR code, ready to be drawn.
///
/// Its content lets whoever scans it log in, so `Debug` does not show the modules.
#[derive(Clone)]
pub struct QrCode {
    code: qrcode::QrCode,
}

impl QrCode {
    /// Encodes `content`, of at most 2953 bytes (more, if it is all digits).
    pub fn new(content: &str) -> Result<Self, QrError> {
        if content.is_empty() {
            return Err(QrError::Empty);
        }
        // Any bytes can be encoded and the version is chosen to fit, so only the length can be wrong.
        let code = qrcode::QrCode::with_error_correction_level(content, EcLevel::L)
            .map_err(|_| QrError::TooLong { bytes: content.len() })?;
        Ok(Self { code })
    }

    /// The code as a `data:image/png;base64,` URL: grayscale, 8 pixels a module, quiet zone included.
    pub fn png_data_url(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(self.png()))
    }

    /// The code for a terminal: two rows of modules a line, in explicit black on white, so that a light and a dark
    /// background serve alike. Every line ends with a reset and a line feed.
    pub fn terminal_text(&self) -> String {
        self.half_blocks().lines().map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}\n")).collect()
    }

    /// The code without colours, for pages and files: the blocks are the dark modules, so the background has to be light.
    pub fn plain_text(&self) -> String {
        self.half_blocks() + "\n"
    }

    fn half_blocks(&self) -> String {
        self.code.render::<Dense1x2>().build()
    }

    fn png(&self) -> Vec<u8> {
        let picture = self.code.render::<Luma<u8>>().module_dimensions(PIXELS, PIXELS).build();
        let mut file = Cursor::new(Vec::new());
        // A `Vec` takes every write.
        picture.write_to(&mut file, ImageFormat::Png).expect("a PNG in memory");
        file.into_inner()
    }
}

impl fmt::Debug for QrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QrCode").field("width", &self.code.width()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use qrcode::Color;

    use super::*;

    /// Light modules around the code, on each side.
    const QUIET_ZONE: usize = 4;

    const LINK: &str = "https://liteapp.weixin.qq.com/q/7GiQu1?qrcode=0123456789abcdef0123456789abcdef&bot_type=3";

    /// The modules that a QR code of `content` has, by the encoder itself.
    fn expected(content: &str) -> Vec<Vec<bool>> {
        let code = qrcode::QrCode::with_error_correction_level(content, EcLevel::L).unwrap();
        code.to_colors().chunks(code.width()).map(|row| row.iter().map(|c| *c == Color::Dark).collect()).collect()
    }

    /// Cuts the quiet zone off, after a check that it is light.
    fn without_quiet_zone(drawn: &[Vec<bool>]) -> Vec<Vec<bool>> {
        let inner = QUIET_ZONE..drawn[0].len() - QUIET_ZONE;
        for (y, row) in drawn.iter().enumerate() {
            for (x, dark) in row.iter().enumerate() {
                let quiet = !inner.contains(&x) || !inner.contains(&y);
                assert!(!(quiet && *dark), "a dark module in the quiet zone at {x}, {y}");
            }
        }
        drawn[inner.clone()].iter().map(|row| row[inner.clone()].to_vec()).collect()
    }

    /// Reads half blocks as modules.
    fn modules_of(text: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in text.lines() {
            rows.push(line.chars().map(|c| matches!(c, '█' | '▀')).collect());
            rows.push(line.chars().map(|c| matches!(c, '█' | '▄')).collect());
        }
        rows
    }

    /// Decodes a PNG data URL to its pixels (true is black), a row each.
    fn pixels_of(url: &str) -> Vec<Vec<bool>> {
        let file = STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let picture = image::load_from_memory_with_format(&file, ImageFormat::Png).unwrap().into_luma8();
        assert_eq!(picture.width(), picture.height());
        picture.rows().map(|row| row.map(|gray| gray.0 == [0]).collect()).collect()
    }

    #[test]
    fn plain_text_shows_every_module() {
        let text = QrCode::new(LINK).unwrap().plain_text();
        assert_eq!(without_quiet_zone(&modules_of(&text)), expected(LINK));
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn terminal_text_is_the_plain_text_in_black_on_white_line_by_line() {
        let code = QrCode::new(LINK).unwrap();
        let (terminal, plain) = (code.terminal_text(), code.plain_text());
        assert_eq!(terminal.lines().count(), plain.lines().count());
        for (coloured, line) in terminal.lines().zip(plain.lines()) {
            assert_eq!(coloured, format!("{BLACK_ON_WHITE}{line}{RESET}"));
        }
        assert!(terminal.ends_with('\n'));
    }

    #[test]
    fn a_login_link_fits_in_a_terminal_of_80_by_24() {
        let text = QrCode::new(LINK).unwrap().plain_text();
        assert!(text.lines().count() <= 24, "{} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() == text.lines().count() * 2 - 1));
    }

    #[test]
    fn the_png_has_eight_pixels_a_module_and_shows_every_module() {
        let pixels = pixels_of(&QrCode::new(LINK).unwrap().png_data_url());
        let side = (expected(LINK).len() + 8) * 8;
        assert_eq!((pixels.len(), pixels[0].len()), (side, side));
        for (y, row) in pixels.iter().enumerate() {
            for (x, black) in row.iter().enumerate() {
                assert_eq!(*black, pixels[y / 8 * 8][x / 8 * 8], "module torn at pixel {x}, {y}");
            }
        }
        let modules: Vec<Vec<bool>> =
            pixels.iter().step_by(8).map(|row| row.iter().step_by(8).copied().collect()).collect();
        assert_eq!(without_quiet_zone(&modules), expected(LINK));
    }

    #[test]
    fn the_finder_patterns_are_dark_on_light() {
        let modules = without_quiet_zone(&modules_of(&QrCode::new(LINK).unwrap().plain_text()));
        let side = modules.len();
        for (left, top) in [(0, 0), (side - 7, 0), (0, side - 7)] {
            for y in 0..7 {
                for x in 0..7 {
                    let ring = (1..6).contains(&x) && (1..6).contains(&y);
                    let core = (2..5).contains(&x) && (2..5).contains(&y);
                    assert_eq!(modules[top + y][left + x], !ring || core);
                }
            }
        }
    }

    #[test]
    fn the_longest_text_that_fits_is_drawn_and_one_more_byte_is_refused() {
        let longest = format!("https://example.com/?token={}", "a".repeat(2953 - 27));
        assert_eq!(longest.len(), 2953);
        let code = QrCode::new(&longest).unwrap();
        assert_eq!(without_quiet_zone(&modules_of(&code.plain_text())), expected(&longest));
        assert_eq!(pixels_of(&code.png_data_url()).len(), (177 + 8) * 8);

        let error = QrCode::new(&(longest + "a")).unwrap_err();
        assert_eq!(error, QrError::TooLong { bytes: 2954 });
        assert!(error.to_string().contains("too long"), "{error}");
        assert!(!error.to_string().contains("token"), "the text is a secret: {error}");
    }

    #[test]
    fn an_empty_text_is_refused() {
        assert_eq!(QrCode::new("").unwrap_err(), QrError::Empty);
    }

    #[test]
    fn debug_shows_no_modules() {
        assert_eq!(format!("{:?}", QrCode::new("https://a").unwrap()), "QrCode { width: 21, .. }");
    }
}
