//! AES-128-ECB with PKCS#7 padding, in pieces of any size.

use aes::Aes128;
use cipher::block_padding::Pkcs7;
use cipher::{Block, BlockModeDecrypt as _, BlockModeEncrypt as _, KeyInit as _};

use super::key::MediaKey;

const BLOCK: usize = 16;

/// The size of the ciphertext of `plain` bytes: always at least one byte of padding.
pub fn cipher_len(plain: u64) -> u64 {
    (plain / BLOCK as u64 + 1) * BLOCK as u64
}

/// Encrypts a stream.
pub struct Encryptor {
    cipher: ecb::Encryptor<Aes128>,
    /// The bytes behind the last whole block.
    rest: Vec<u8>,
}

impl Encryptor {
    /// With this key.
    pub fn new(key: &MediaKey) -> Encryptor {
        Encryptor { cipher: ecb::Encryptor::new(key.bytes().into()), rest: Vec::with_capacity(BLOCK) }
    }

    /// Takes the next bytes; whole blocks of ciphertext are put behind `out`.
    pub fn update(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.append(&mut self.rest);
        out.extend_from_slice(plain);
        let whole = (out.len() - start) / BLOCK * BLOCK;
        self.rest.extend(out.drain(start + whole..));
        let (blocks, _) = Block::<ecb::Encryptor<Aes128>>::slice_as_chunks_mut(&mut out[start..]);
        self.cipher.encrypt_blocks(blocks);
    }

    /// The last block.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend(self.cipher.encrypt_padded_vec::<Pkcs7>(&self.rest));
    }
}

/// The ciphertext is damaged, or the key is not its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCiphertext;

/// Decrypts a stream.
pub struct Decryptor {
    cipher: ecb::Decryptor<Aes128>,
    /// What may be the last block, and what comes before a whole one.
    rest: Vec<u8>,
}

impl Decryptor {
    /// With this key.
    pub fn new(key: &MediaKey) -> Decryptor {
        Decryptor { cipher: ecb::Decryptor::new(key.bytes().into()), rest: Vec::with_capacity(2 * BLOCK) }
    }

    /// Takes the next bytes; plaintext is put behind `out`. The last block is kept back: it may be padding.
    pub fn update(&mut self, encrypted: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.append(&mut self.rest);
        out.extend_from_slice(encrypted);
        let whole = (out.len() - start).saturating_sub(1) / BLOCK * BLOCK;
        self.rest.extend(out.drain(start + whole..));
        let (blocks, _) = Block::<ecb::Decryptor<Aes128>>::slice_as_chunks_mut(&mut out[start..]);
        self.cipher.decrypt_blocks(blocks);
    }

    /// The last block, without its padding.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), BadCiphertext> {
        if self.rest.len() != BLOCK {
            return Err(BadCiphertext);
        }
        out.extend(self.cipher.decrypt_padded_vec::<Pkcs7>(&self.rest).map_err(|_| BadCiphertext)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(key: &MediaKey, plain: &[u8], piece: usize) -> Vec<u8> {
        let (mut encryptor, mut out) = (Encryptor::new(key), Vec::new());
        plain.chunks(piece).for_each(|piece| encryptor.update(piece, &mut out));
        encryptor.finish(&mut out);
        out
    }

    fn decrypted(key: &MediaKey, encrypted: &[u8], piece: usize) -> Result<Vec<u8>, BadCiphertext> {
        let (mut decryptor, mut out) = (Decryptor::new(key), Vec::new());
        encrypted.chunks(piece).for_each(|piece| decryptor.update(piece, &mut out));
        decryptor.finish(&mut out).map(|()| out)
    }

    #[test]
    fn every_size_in_every_piece_comes_back() {
        let key = MediaKey::random();
        let plain: Vec<u8> = (0..70u8).collect();
        for len in 0..plain.len() {
            let whole = encrypted(&key, &plain[..len], 1000);
            assert_eq!(whole.len() as u64, cipher_len(len as u64));
            for piece in [1, 3, 15, 16, 17, 33] {
                assert_eq!(encrypted(&key, &plain[..len], piece), whole);
                assert_eq!(decrypted(&key, &whole, piece).as_deref(), Ok(&plain[..len]));
            }
        }
    }

    #[test]
    fn a_known_ciphertext() {
        // FIPS 197, appendix B; the second block is padding alone.
        let key = MediaKey::from_hex("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        let plain = [0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d, 0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34];
        let expected = [0x39, 0x25, 0x84, 0x1d, 0x02, 0xdc, 0x09, 0xfb, 0xdc, 0x11, 0x85, 0x97, 0x19, 0x6a, 0x0b, 0x32];
        assert_eq!(encrypted(&key, &plain, 5)[..16], expected);
    }

    #[test]
    fn damage_is_noticed() {
        let key = MediaKey::random();
        let whole = encrypted(&key, b"some text that is longer than a block", 1000);
        for cut in [0, 1, 15, 17, whole.len() - 1] {
            assert_eq!(decrypted(&key, &whole[..cut], 7), Err(BadCiphertext), "{cut}");
        }
        // One wrong key in 256 or so leaves what looks like padding; this one does not.
        let other = MediaKey::from_hex("000102030405060708090a0b0c0d0e0f").unwrap();
        let text = encrypted(&MediaKey::from_hex(&"11".repeat(16)).unwrap(), b"text", 1000);
        assert_eq!(decrypted(&other, &text, 1000), Err(BadCiphertext));
    }
}
