//! What a person sends: every kind of item, every encoding of a key, every damage, and quotes.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Response;
use serde_json::{Value, json};

use super::upload::{SIZES, decrypted, md5, sample};
use super::{Account, Bench};
use crate::cdn::cipher::key_of_hex;
use crate::{
    Address, Content, ControlError, Damage, Endpoint, Fault, FaultKind, KeyEncoding, Media, NewMessages, Quote,
};

fn image(media: Media) -> Content {
    Content::Image { media, mid_size: None }
}

fn file(media: Media) -> Content {
    Content::File { media, file_name: "report.pdf".into(), md5: None, len: None }
}

impl Bench {
    /// Ann sends one item, and this is how it arrives.
    async fn arrives(&self, account: &Account, content: Content) -> Value {
        self.control.push_content(&account.bot_id, "ann@im.wechat", vec![content]).unwrap();
        let answer = self.poll(account, "").await;
        answer["msgs"].as_array().unwrap().last().unwrap()["item_list"][0].clone()
    }

    async fn download(&self, media: &Value) -> Response {
        let url = format!("{}/download", self.simulator.cdn_url());
        let query = [("encrypted_query_param", media["encrypt_query_param"].as_str().unwrap())];
        self.http.get(url).query(&query).send().await.unwrap()
    }

    async fn ciphertext(&self, media: &Value) -> Vec<u8> {
        self.download(media).await.bytes().await.unwrap().to_vec()
    }
}

fn decoded(media: &Value) -> Vec<u8> {
    STANDARD.decode(media["aes_key"].as_str().unwrap()).unwrap()
}

fn hex_key(text: &Value) -> [u8; 16] {
    key_of_hex(text.as_str().unwrap().as_bytes()).unwrap()
}

fn file_key(item: &Value) -> [u8; 16] {
    key_of_hex(&decoded(&item["file_item"]["media"])).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_sends_arrives_as_it_was() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plain");
    for size in SIZES {
        let plain = sample(size);
        std::fs::write(&path, &plain).unwrap();
        for media in [Media::bytes(plain.clone()), Media::file(&path)] {
            let item = bench.arrives(&account, file(media)).await;
            let body = &item["file_item"];
            assert_eq!((&item["type"], &body["len"]), (&json!(4), &json!(size.to_string())));
            assert_eq!((&body["md5"], &body["file_name"]), (&json!(md5(&plain)), &json!("report.pdf")));
            let answer = bench.download(&body["media"]).await;
            assert_eq!(answer.content_length(), Some((size as u64 / 16 + 1) * 16));
            assert!(decrypted(&file_key(&item), &answer.bytes().await.unwrap()).unwrap() == plain);
        }
    }
}

#[tokio::test]
async fn a_key_is_told_in_every_way() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let with = |key| image(Media::bytes(*b"picture").key(key));
    let item = bench.arrives(&account, image(Media::bytes(*b"picture"))).await["image_item"].clone();
    assert!(item["media"]["aes_key"].is_null());
    assert_eq!(item["mid_size"], 16);
    assert_eq!(decrypted(&hex_key(&item["aeskey"]), &bench.ciphertext(&item["media"]).await).unwrap(), b"picture");
    let item = bench.arrives(&account, with(KeyEncoding::Raw)).await["image_item"].clone();
    let key: [u8; 16] = decoded(&item["media"]).try_into().unwrap();
    assert_eq!(decrypted(&key, &bench.ciphertext(&item["media"]).await).unwrap(), b"picture");
    let item = bench.arrives(&account, with(KeyEncoding::HexBase64)).await["image_item"].clone();
    let key = key_of_hex(&decoded(&item["media"])).unwrap();
    assert_eq!(decrypted(&key, &bench.ciphertext(&item["media"]).await).unwrap(), b"picture");
    let item = bench.arrives(&account, with(KeyEncoding::HexFirst)).await["image_item"].clone();
    let ciphertext = bench.ciphertext(&item["media"]).await;
    assert_eq!(decrypted(&hex_key(&item["aeskey"]), &ciphertext).unwrap(), b"picture");
    let wrong: [u8; 16] = decoded(&item["media"]).try_into().unwrap();
    assert_ne!(decrypted(&wrong, &ciphertext).as_deref(), Some(&b"picture"[..]));
    let item = bench.arrives(&account, with(KeyEncoding::None)).await["image_item"].clone();
    assert!(item["aeskey"].is_null() && item["media"]["aes_key"].is_null());
    assert_eq!(bench.ciphertext(&item["media"]).await, b"picture");
    for key in [KeyEncoding::Hex, KeyEncoding::HexFirst, KeyEncoding::None] {
        let wrong = bench.control.push_content(&account.bot_id, "ann", vec![file(Media::bytes(*b"").key(key))]);
        assert!(matches!(wrong, Err(ControlError::Invalid(_))));
    }
}

#[tokio::test]
async fn an_address_is_told_in_every_way() {
    let bench = Bench::new().await;
    let account = bench.bot();
    for (address, param, url) in
        [(Address::Param, true, false), (Address::Both, true, true), (Address::FullUrl, false, true)]
    {
        let item = bench.arrives(&account, file(Media::bytes(*b"content").address(address))).await;
        let media = &item["file_item"]["media"];
        assert_eq!((media["encrypt_query_param"].is_string(), media["full_url"].is_string()), (param, url));
        if url {
            let answer = bench.http.get(media["full_url"].as_str().unwrap()).send().await.unwrap();
            assert_eq!(decrypted(&file_key(&item), &answer.bytes().await.unwrap()).unwrap(), b"content");
        }
    }
}

#[tokio::test]
async fn every_damage_is_done() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let plain = sample(100);
    let damaged = |damage| file(Media::bytes(plain.clone()).damaged(damage));

    let item = bench.arrives(&account, damaged(Damage::WrongKey)).await;
    let ciphertext = bench.ciphertext(&item["file_item"]["media"]).await;
    assert_ne!(decrypted(&file_key(&item), &ciphertext), Some(plain.clone()));

    for (damage, size) in [
        (Damage::Truncated { bytes: 1 }, 111),
        (Damage::Truncated { bytes: 16 }, 96),
        (Damage::Truncated { bytes: 1000 }, 0),
        (Damage::Longer { bytes: 5 }, 117),
        (Damage::Longer { bytes: 1 << 20 }, 112 + (1 << 20)),
    ] {
        let item = bench.arrives(&account, damaged(damage)).await;
        assert_eq!(item["file_item"]["len"], "100");
        let answer = bench.download(&item["file_item"]["media"]).await;
        assert_eq!(answer.content_length(), Some(size));
        assert_eq!(answer.bytes().await.unwrap().len() as u64, size);
    }

    let item = bench.arrives(&account, damaged(Damage::Missing)).await;
    let answer = bench.download(&item["file_item"]["media"]).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["x-error-message"].to_str().unwrap()),
        (404, "the file is gone")
    );

    let item = bench.arrives(&account, damaged(Damage::Slow { bytes_per_second: 200 })).await;
    let start = Instant::now();
    let ciphertext = bench.ciphertext(&item["file_item"]["media"]).await;
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert_eq!(decrypted(&file_key(&item), &ciphertext), Some(plain.clone()));

    let to = format!("{}/_sim/state", bench.simulator.url());
    let item = bench.arrives(&account, damaged(Damage::Redirect { to: to.clone() })).await;
    assert_eq!(bench.download(&item["file_item"]["media"]).await.url().as_str(), to);

    let unknown = bench.download(&json!({ "encrypt_query_param": "unknown" })).await;
    assert_eq!(unknown.status(), 404);
    assert!(unknown.headers().contains_key("x-error-message"));
}

#[tokio::test]
async fn a_slow_body_ends_with_the_simulator() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let slow = Media::bytes(sample(1000)).damaged(Damage::Slow { bytes_per_second: 1 });
    let item = bench.arrives(&account, file(slow)).await;
    let answer = bench.download(&item["file_item"]["media"]).await;
    bench.simulator.stop().await;
    assert!(answer.bytes().await.is_err());
}

#[tokio::test]
async fn a_message_has_many_items_in_their_order_and_quotes() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let content = json!([
        { "type": "text", "text": "look" },
        { "type": "image", "media": { "bytes": STANDARD.encode("picture"), "key": "raw", "address": "both" } },
        { "type": "voice", "media": { "bytes": "" }, "encodeType": 7, "playtime": 900, "text": "hello" },
        { "type": "file", "media": { "bytes": "" }, "fileName": "../x", "md5": "wrong", "len": "99999999999" },
        { "type": "video", "media": { "bytes": "", "damage": { "kind": "slow", "bytesPerSecond": 9 } }, "playLength": 3 },
        { "type": "unknown", "number": 77 },
        { "type": "raw", "item": { "type": 1, "odd": u64::MAX } },
    ]);
    let part = json!({ "start": "a", "end": "b", "startindex": 1, "endindex": 1, "quotemd5": "c" });
    let quote = json!({ "svr_id": "18446744073709551615", "partial_text": part });
    let body = json!({ "botId": account.bot_id, "from": "ann", "content": content, "quote": quote });
    let answer = bench.control_post("messages", body).await;
    assert!(answer["messageIds"][0].is_string(), "{answer}");
    let items = bench.poll(&account, "").await["msgs"][0]["item_list"].clone();
    let types: Vec<_> = items.as_array().unwrap().iter().map(|item| item["type"].as_i64().unwrap()).collect();
    assert_eq!(types, [1, 2, 3, 4, 5, 77, 1]);
    assert_eq!(items[0]["ref_msg"], json!({ "svr_id": u64::MAX, "partial_text": part }));
    assert_eq!(items[0]["text_item"]["text"], "look");
    assert!(items[1]["image_item"]["media"]["full_url"].is_string());
    let voice = &items[2]["voice_item"];
    assert_eq!((&voice["encode_type"], &voice["playtime"]), (&json!(7), &json!(900)));
    assert_eq!(voice["text"], "hello");
    let file = &items[3]["file_item"];
    assert_eq!(
        (&file["file_name"], &file["md5"], &file["len"]),
        (&json!("../x"), &json!("wrong"), &json!("99999999999"))
    );
    assert_eq!(
        (&items[4]["video_item"]["play_length"], &items[4]["video_item"]["video_size"]),
        (&json!(3), &json!(16))
    );
    assert_eq!(items[6]["odd"], u64::MAX);

    let inline = Quote::inline(json!({ "type": 1, "text_item": { "text": "before" } }));
    let message = NewMessages { quote: Some(inline), ..NewMessages::text(&account.bot_id, "ann", "yes") };
    bench.control.push(&message).unwrap();
    let item = bench.poll(&account, "").await["msgs"][1]["item_list"][0].clone();
    assert_eq!(item["ref_msg"]["message_item"]["text_item"]["text"], "before");
    assert_eq!(item["text_item"]["text"], "yes");
}

#[tokio::test]
async fn content_that_makes_no_sense_is_refused() {
    let bench = Bench::new().await;
    let account = bench.bot();
    for wrong in [
        json!({ "type": "image" }),
        json!({ "type": "image", "media": {} }),
        json!({ "type": "image", "media": { "bytes": "?" } }),
        json!({ "type": "image", "media": { "bytes": "", "speed": 1 } }),
        json!({ "type": "image", "media": { "path": "/no/such/file" } }),
        json!({ "type": "image", "media": { "bytes": "", "key": "none", "damage": { "kind": "wrong_key" } } }),
        json!({ "type": "file", "media": { "bytes": "" } }),
        json!({ "type": "smell" }),
    ] {
        let body = json!({ "botId": account.bot_id, "from": "ann", "content": [wrong] });
        let answer = bench.control_post("messages", body).await;
        assert!(answer["error"].is_string(), "{wrong}");
    }
    assert_eq!(bench.control.bot(&account.bot_id).unwrap().queued, 0);
}

#[tokio::test]
async fn a_download_is_struck_by_every_fault() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let plain = sample(1 << 20);
    let item = bench.arrives(&account, file(Media::bytes(plain.clone()))).await;
    let media = &item["file_item"]["media"];
    let fault = |kind| {
        bench.control.add_fault(Fault::new(Endpoint::CdnDownload, kind).times(1).for_bot(&account.bot_id));
    };
    fault(FaultKind::Delay(Duration::from_millis(200)));
    let start = Instant::now();
    fault(FaultKind::Status(502));
    assert_eq!(bench.download(media).await.status(), 502);
    assert!(start.elapsed() >= Duration::from_millis(200));
    fault(FaultKind::Refuse { status: 410, message: "expired".into() });
    let answer = bench.download(media).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["x-error-message"].to_str().unwrap()), (410, "expired"));
    fault(FaultKind::WrongJson);
    assert!(bench.ciphertext(media).await.starts_with(b"<html>"));
    fault(FaultKind::Truncate);
    let mut answer = bench.download(media).await;
    assert_eq!(answer.content_length(), Some((1 << 20) + 16));
    let mut size = 0;
    let end = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => size += chunk.len(),
            end => break end,
        }
    };
    assert!(end.is_err());
    assert_eq!(size, (1 << 19) + 8);
    for kind in [FaultKind::Reset, FaultKind::DropAnswer] {
        fault(kind);
        let url = format!("{}/download", bench.simulator.cdn_url());
        let query = [("encrypted_query_param", media["encrypt_query_param"].as_str().unwrap())];
        assert!(bench.http.get(url).query(&query).send().await.is_err());
    }
    assert_eq!(decrypted(&file_key(&item), &bench.ciphertext(media).await), Some(plain));
}

#[tokio::test]
async fn the_addresses_are_told() {
    let bench = Bench::new().await;
    let state = bench.control_get("state").await;
    assert_eq!(state["cdnUrl"], bench.simulator.cdn_url());
    assert_eq!(bench.simulator.cdn_url(), format!("{}/c2c", bench.simulator.url()));
}
