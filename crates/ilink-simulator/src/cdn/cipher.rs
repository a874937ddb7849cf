//! AES-128-ECB with PKCS#7 padding from a reader to a writer, in constant memory.

use std::io::{self, Read, Write};

use aes::Aes128;
use ecb::cipher::block_padding::Pkcs7;
use ecb::cipher::{Array, BlockModeDecrypt as _, BlockModeEncrypt as _, KeyInit as _};
use md5::{Digest as _, Md5};

/// A key as the wire means it, whatever its encoding.
pub(crate) type Key = [u8; 16];

pub(crate) const BLOCK: usize = 16;

/// What is read at once: whole blocks.
const CHUNK: usize = 64 * 1024;

/// The size of the ciphertext of `plain` bytes.
pub(crate) fn ciphertext_size(plain: u64) -> Option<u64> {
    (plain / BLOCK as u64 + 1).checked_mul(BLOCK as u64)
}

/// Encrypts everything that is read.
pub(crate) fn encrypt(key: &Key, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut cipher = ecb::Encryptor::<Aes128>::new(key.into());
    let mut buffer = vec![0; CHUNK + BLOCK];
    loop {
        let read = fill(from, &mut buffer[..CHUNK])?;
        if read < CHUNK {
            let padded = cipher.encrypt_padded::<Pkcs7>(&mut buffer, read).map_err(io::Error::other)?;
            return to.write_all(padded);
        }
        let (blocks, _) = Array::slice_as_chunks_mut(&mut buffer[..CHUNK]);
        cipher.encrypt_blocks(blocks);
        to.write_all(&buffer[..CHUNK])?;
    }
}

/// Decrypts everything that is read; `InvalidData` when it is no ciphertext of this key.
pub(crate) fn decrypt(key: &Key, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut cipher = ecb::Decryptor::<Aes128>::new(key.into());
    // The last block carries the padding, and it is the last one only when nothing comes after it.
    let mut buffer = vec![0; CHUNK + BLOCK];
    let mut held = 0;
    loop {
        let length = held + fill(from, &mut buffer[held..])?;
        if length < buffer.len() {
            let plain = cipher
                .decrypt_padded::<Pkcs7>(&mut buffer[..length])
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "wrong size, or wrong padding: wrong key?"))?;
            return to.write_all(plain);
        }
        let (blocks, _) = Array::slice_as_chunks_mut(&mut buffer[..CHUNK]);
        cipher.decrypt_blocks(blocks);
        to.write_all(&buffer[..CHUNK])?;
        buffer.copy_within(CHUNK.., 0);
        held = BLOCK;
    }
}

/// Reads until the buffer is full or the end has come.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Counts and digests what passes through a reader or a writer.
#[derive(Debug)]
pub(crate) struct Measured<T> {
    inner: T,
    size: u64,
    digest: Md5,
}

impl<T> Measured<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, size: 0, digest: Md5::new() }
    }

    /// The size, and the MD5 in hex.
    pub(crate) fn finish(self) -> (u64, String) {
        (self.size, hex::encode(self.digest.finalize()))
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.digest.update(bytes);
    }
}

impl<T: Read> Read for Measured<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.passed(&buffer[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Measured<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.passed(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Sixteen bytes from 32 hex digits of either case.
pub(crate) fn key_of_hex(digits: &[u8]) -> Option<Key> {
    let mut key = Key::default();
    hex::decode_to_slice(digits, &mut key).ok().map(|()| key)
}
