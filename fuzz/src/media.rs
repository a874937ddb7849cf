//! What messages bring with files: keys, ciphertext, names, the first bytes of a file, selected parts of quotes.

use ilink::cdn::{Decryptor, Encryptor, MediaKey, cipher_len};
use openclaw_weixin_sidecar::fuzzing::{PartialText, selected};
use openclaw_weixin_sidecar::media::{mime_of, safe_name};

pub fn check(data: &[u8]) {
    let (first, rest) =
        data.iter().position(|b| *b == b'\n').map_or((data, &[][..]), |at| (&data[..at], &data[at + 1..]));
    let line = String::from_utf8_lossy(first);

    for key in [MediaKey::from_hex(&line), MediaKey::from_base64(&line)].into_iter().flatten() {
        assert_eq!(MediaKey::from_hex(&key.to_hex()), Ok(key.clone()));
        assert_eq!(MediaKey::from_base64(&key.to_base64()), Ok(key));
    }

    let key = MediaKey::from_hex("000102030405060708090a0b0c0d0e0f").expect("a key");
    let piece = usize::from(first.first().copied().unwrap_or(7)).max(1);
    let (mut decryptor, mut plain) = (Decryptor::new(&key), Vec::new());
    rest.chunks(piece).for_each(|piece| decryptor.update(piece, &mut plain));
    let whole = decryptor.finish(&mut plain).is_ok();
    assert!(plain.len() <= rest.len(), "no file is larger than its ciphertext");
    assert!(!whole || cipher_len(plain.len() as u64) == rest.len() as u64);
    let (mut encryptor, mut encrypted) = (Encryptor::new(&key), Vec::new());
    rest.chunks(piece).for_each(|piece| encryptor.update(piece, &mut encrypted));
    encryptor.finish(&mut encrypted);
    assert_eq!(encrypted.len() as u64, cipher_len(rest.len() as u64));
    let (mut decryptor, mut back) = (Decryptor::new(&key), Vec::new());
    decryptor.update(&encrypted, &mut back);
    decryptor.finish(&mut back).expect("what was encrypted decrypts");
    assert_eq!(back, rest);

    let name = safe_name(&line);
    assert!((1..=200).contains(&name.len()) && !name.starts_with('.') && !name.ends_with(['.', ' ']), "{name:?}");
    assert!(!name.contains(['/', '\\', ':']) && !name.chars().any(char::is_control), "{name:?}");
    assert_eq!(safe_name(&name), name, "what is safe stays");
    assert!(mime_of(rest, Some(&line)).contains('/'));

    let text = String::from_utf8_lossy(rest);
    let mut words = line.split(' ');
    let partial = PartialText {
        start: words.next().map(str::to_owned),
        end: words.next().map(str::to_owned),
        startindex: words.next().and_then(|n| n.parse().ok()),
        endindex: words.next().and_then(|n| n.parse().ok()),
        quotemd5: words.next().map(str::to_owned),
    };
    if let Some(part) = selected(&text, &partial) {
        assert!(text.contains(&part), "what was selected was never there");
    }
}
