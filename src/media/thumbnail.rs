//! Small versions of pictures, which WeChat shows until somebody opens the picture itself.

use std::io::Cursor;
use std::path::Path;
use std::sync::Mutex;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder as _, ImageReader};

use crate::supervise::lock;

/// The longer side, in pixels.
const SIDE: u32 = 240;
/// A JPEG quality at which 240 pixels are about 10 KiB.
const QUALITY: u8 = 75;
/// Pictures that are larger in memory (eight megapixels in colour) get no thumbnail, in bytes.
const LARGEST: u64 = 24 << 20;

/// One picture is in memory at a time, however many are sent.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A small version of a picture.
pub struct Thumbnail {
    /// The file: a JPEG.
    pub jpeg: Vec<u8>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Makes a thumbnail of a JPEG or PNG file; `None` where it is another kind, damaged, or too large. Blocks.
pub fn thumbnail(file: &Path) -> Option<Thumbnail> {
    let _one = lock(&ONE_AT_A_TIME);
    let mut decoder = ImageReader::open(file).ok()?.with_guessed_format().ok()?.into_decoder().ok()?;
    if decoder.total_bytes() > LARGEST {
        return None;
    }
    let orientation = decoder.orientation().ok()?;
    let picture = DynamicImage::from_decoder(decoder).ok()?;
    let mut small = match picture.width().max(picture.height()) > SIDE {
        true => picture.thumbnail(SIDE, SIDE),
        false => picture,
    };
    small.apply_orientation(orientation);
    let small = small.to_rgb8();
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&small).ok()?;
    Some(Thumbnail { jpeg: jpeg.into_inner(), width: small.width(), height: small.height() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};

    /// A picture that is red on the left and blue on the right.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([220, 20, 20]) } else { Rgb([20, 20, 220]) })
    }

    fn small_of(bytes: &[u8]) -> Option<Thumbnail> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("picture");
        std::fs::write(&file, bytes).unwrap();
        thumbnail(&file)
    }

    fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_picture_gets_small_and_keeps_its_shape_and_colours() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png] {
            let small = small_of(&encoded(&picture(1200, 600), format)).unwrap();
            assert_eq!((small.width, small.height), (240, 120));
            let shown = image::load_from_memory_with_format(&small.jpeg, ImageFormat::Jpeg).unwrap().to_rgb8();
            let (left, right) = (shown.get_pixel(30, 60).0, shown.get_pixel(210, 60).0);
            assert!(left[0] > 180 && left[2] < 60 && right[2] > 180 && right[0] < 60, "{left:?} {right:?}");
        }
        let tiny = small_of(&encoded(&picture(20, 10), ImageFormat::Png)).unwrap();
        assert_eq!((tiny.width, tiny.height), (20, 10), "nothing is made larger");
    }

    #[test]
    fn a_photo_that_lies_on_its_side_stands_up() {
        let jpeg = encoded(&picture(400, 200), ImageFormat::Jpeg);
        // Behind the start mark: an Exif segment that says "turn right" (orientation 6).
        let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let turned = small_of(&[&jpeg[..2], exif, &jpeg[2..]].concat()).unwrap();
        assert_eq!((turned.width, turned.height), (120, 240));
    }

    #[test]
    fn what_is_no_picture_too_large_or_damaged_has_no_thumbnail() {
        let png = encoded(&picture(300, 300), ImageFormat::Png);
        let mut bomb = png.clone();
        bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
        for bytes in [b"".as_slice(), b"no picture", b"<html></html>", &png[..png.len() / 2], &bomb] {
            assert!(small_of(bytes).is_none());
        }
        assert!(small_of(&encoded(&RgbImage::new(3000, 3000), ImageFormat::Png)).is_none());
    }
}
