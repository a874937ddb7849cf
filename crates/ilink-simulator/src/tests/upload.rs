//! Media that a bot sends: announced, uploaded, referred to, and seen by their receiver.

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecb::cipher::block_padding::Pkcs7;
use ecb::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyInit as _};
use md5::{Digest as _, Md5};
use reqwest::Response;
use serde_json::{Value, json};

use super::{Account, Bench, message};
use crate::{Endpoint, Fault, FaultKind, LimitsPatch, MediaKind, SentFilter};

/// Sizes around a block, and one of many chunks.
pub(super) const SIZES: [usize; 8] = [0, 1, 15, 16, 17, 64 * 1024, 64 * 1024 + 16, 3 << 20];

pub(super) const KEY: [u8; 16] = *b"0123456789abcdef";

/// Bytes without a short period.
pub(super) fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

pub(super) fn md5(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// Encrypted in one piece, so that the streaming cipher is not its own judge.
pub(super) fn encrypted(key: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + 16, 0);
    ecb::Encryptor::<Aes128>::new(key.into()).encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).unwrap().to_vec()
}

/// Decrypted in one piece; `None` when it is not of this key.
pub(super) fn decrypted(key: &[u8; 16], cipher: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = cipher.to_vec();
    ecb::Decryptor::<Aes128>::new(key.into()).decrypt_padded::<Pkcs7>(&mut buffer).ok().map(<[u8]>::to_vec)
}

fn announcement(plain: &[u8]) -> Value {
    json!({
        "filekey": "00112233445566778899aabbccddeeff", "media_type": 3, "to_user_id": "ann@im.wechat",
        "rawsize": plain.len(), "rawfilemd5": md5(plain), "filesize": (plain.len() / 16 + 1) * 16,
        "no_need_thumb": true, "aeskey": hex::encode(KEY),
    })
}

impl Bench {
    async fn announce(&self, account: &Account, plain: &[u8]) -> String {
        let answer = self.call(account, "getuploadurl", announcement(plain)).await;
        assert!(answer["upload_full_url"].is_null(), "{answer}");
        answer["upload_param"].as_str().unwrap().to_owned()
    }

    async fn upload(&self, parameter: &str, body: Vec<u8>) -> Response {
        let query = [("encrypted_query_param", parameter), ("filekey", "00112233445566778899aabbccddeeff")];
        let request = self.http.post(format!("{}/upload", self.simulator.cdn_url())).query(&query);
        request.header("content-type", "application/octet-stream").body(body).send().await.unwrap()
    }

    /// Uploads, and returns the download parameter.
    async fn uploaded(&self, account: &Account, plain: &[u8]) -> String {
        let parameter = self.announce(account, plain).await;
        let answer = self.upload(&parameter, encrypted(&KEY, plain)).await;
        assert_eq!(answer.status(), 200);
        answer.headers()["x-encrypted-param"].to_str().unwrap().to_owned()
    }

    async fn send_item(&self, account: &Account, client_id: &str, item: Value) -> Value {
        let mut body = message("ann@im.wechat", client_id, None);
        body["msg"]["item_list"] = json!([item]);
        self.call(account, "sendmessage", body).await
    }
}

fn reference(parameter: &str) -> Value {
    json!({ "encrypt_query_param": parameter, "aes_key": STANDARD.encode(hex::encode(KEY)), "encrypt_type": 1 })
}

fn file_item(parameter: &str, len: usize) -> Value {
    json!({ "type": 4, "file_item": { "media": reference(parameter), "file_name": "a b.pdf", "len": len.to_string() } })
}

fn reason(answer: &Response) -> &str {
    answer.headers()["x-error-message"].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_and_sent_is_seen_as_it_was() {
    let bench = Bench::new().await;
    let account = bench.bot();
    for (n, size) in SIZES.into_iter().enumerate() {
        let plain = sample(size);
        let parameter = bench.uploaded(&account, &plain).await;
        let answer = bench.send_item(&account, &format!("c{n}"), file_item(&parameter, size)).await;
        let sent = bench.control.sent_message(&answer["message_id"].to_string()).unwrap();
        assert_eq!((sent.n, sent.item_type, &sent.text), (n as u64 + 1, 4, &None));
        let media = sent.media.as_ref().unwrap();
        assert_eq!((media.kind, media.len), (MediaKind::File, Some(size as u64)));
        assert_eq!(media.file_name.as_deref(), Some("a b.pdf"));
        let content = bench.control.sent_content(&sent).unwrap();
        assert_eq!((content.size, &content.md5), (size as u64, &md5(&plain)));
        assert_eq!(content.announced.unwrap().rawfilemd5, content.md5);
        assert!(bench.control.sent_bytes(&sent).unwrap() == plain);

        let url = format!("{}/_sim/sent/{}/content", bench.simulator.url(), sent.n);
        let streamed = bench.http.get(url).send().await.unwrap();
        assert_eq!(streamed.headers()["x-content-md5"], content.md5);
        assert_eq!(streamed.content_length(), Some(size as u64));
        assert!(streamed.bytes().await.unwrap() == plain);
        let shown = bench.control_get(&format!("sent/{}", sent.message_id)).await;
        assert_eq!(shown["content"]["size"], size);
        assert_eq!(shown["sent"]["media"]["fileName"], "a b.pdf");
    }
    let requests = bench.control.bot(&account.bot_id).unwrap().requests;
    assert_eq!(requests.iter().filter(|request| request.endpoint == Endpoint::CdnUpload).count(), SIZES.len());
}

#[tokio::test]
async fn every_kind_of_media_is_recorded_and_counts_as_one_message() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.control.set_limits(LimitsPatch { quota_per_token: Some(Some(4)), ..LimitsPatch::default() });
    let token = bench.context_token(&account).await;
    let media = reference(&bench.uploaded(&account, b"content").await);
    let items = [
        json!({ "type": 2, "image_item": { "media": media, "mid_size": 16 } }),
        json!({ "type": 3, "voice_item": { "media": media, "playtime": 1200, "encode_type": 6 } }),
        json!({ "type": 4, "file_item": { "media": media, "file_name": "a", "len": "7" } }),
        json!({ "type": 5, "video_item": { "media": media, "video_size": 16 } }),
        json!({ "type": 1, "text_item": { "text": "one too many" } }),
    ];
    let mut rets = Vec::new();
    for (n, item) in items.into_iter().enumerate() {
        let mut body = message("ann@im.wechat", &format!("c{n}"), Some(&token));
        body["msg"]["item_list"] = json!([item]);
        rets.push(bench.call(&account, "sendmessage", body).await["ret"].clone());
    }
    assert_eq!(rets, [Value::Null, Value::Null, Value::Null, Value::Null, json!(-2)]);
    let sent = bench.control.sent(&SentFilter::default()).await;
    let media: Vec<_> = sent.iter().map(|sent| sent.media.clone().unwrap()).collect();
    let kinds = [MediaKind::Image, MediaKind::Voice, MediaKind::File, MediaKind::Video];
    assert_eq!(media.iter().map(|media| media.kind).collect::<Vec<_>>(), kinds);
    assert_eq!((media[0].mid_size, media[1].playtime, media[2].len), (Some(16), Some(1200), Some(7)));
    assert_eq!(media[3].video_size, Some(16));
    for sent in sent {
        assert_eq!(bench.control.sent_bytes(&sent).unwrap(), b"content");
    }
}

#[tokio::test]
async fn a_wrong_announcement_is_refused_with_a_reason() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let wrong = [
        ("filekey", json!("abc")),
        ("filekey", json!("zz112233445566778899aabbccddeeff")),
        ("media_type", json!(0)),
        ("media_type", json!(5)),
        ("to_user_id", json!("")),
        ("rawsize", json!(16)),
        ("rawsize", Value::Null),
        ("rawfilemd5", json!("")),
        ("filesize", json!(7)),
        ("aeskey", json!("0123456789abcdef")),
    ];
    for (field, value) in &wrong {
        let mut body = announcement(b"content");
        body[field] = value.clone();
        let answer = bench.call(&account, "getuploadurl", body).await;
        assert_eq!(answer["ret"], -1, "{field}: {answer}");
        assert!(!answer["errmsg"].as_str().unwrap().is_empty());
        assert!(answer["upload_param"].is_null());
    }
    assert_eq!(bench.reasons().len(), wrong.len());
    let stranger = Account { bot_id: String::new(), token: "unknown".into() };
    assert_eq!(bench.call(&stranger, "getuploadurl", announcement(b"")).await["ret"], -14);
}

#[tokio::test]
async fn an_upload_is_what_was_announced_or_refused() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let parameter = bench.announce(&account, &sample(100_000)).await;
    for size in [0, 100_000, 5_000_000] {
        let answer = bench.upload(&parameter, vec![0; size]).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(reason(&answer), format!("{size} bytes came, 100016 were announced as filesize"));
    }
    let unknown = bench.upload("unknown", vec![0; 3 << 20]).await;
    assert_eq!((unknown.status().as_u16(), reason(&unknown)), (404, "an unknown upload parameter"));
    let url = format!("{}/upload", bench.simulator.cdn_url());
    let request = || bench.http.post(&url).header("content-type", "application/octet-stream");
    let query = [("encrypted_query_param", &*parameter)];
    let other = request().query(&query).query(&[("filekey", "other")]).send().await.unwrap();
    assert_eq!(reason(&other), "filekey is not the announced one");
    let token = request().query(&query).bearer_auth(&account.token).send().await.unwrap();
    assert_eq!(token.status(), 400);
    assert!(reason(&token).contains("Authorization"));
    let unencoded = request().query(&[("filekey", "00112233445566778899aabbccddeeff")]).build().unwrap();
    let raw = format!("{}&encrypted_query_param={parameter}", unencoded.url());
    let raw = bench.http.post(raw).header("content-type", "application/octet-stream").send().await.unwrap();
    assert_eq!(raw.status(), 404, "a parameter must be encoded");
    assert_eq!(bench.upload(&parameter, vec![0; 100_016]).await.status(), 200);
    assert_eq!(bench.reasons().len(), 7);
}

#[tokio::test]
async fn a_full_url_is_given_when_it_is_asked_for_and_it_works() {
    let bench = Bench::new().await;
    let account = bench.bot();
    bench.control_put("cdn", json!({ "uploadFullUrl": true })).await;
    let answer = bench.call(&account, "getuploadurl", announcement(b"content")).await;
    let url = answer["upload_full_url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/upload?", bench.simulator.cdn_url())), "{url}");
    let request = bench.http.post(url).header("content-type", "application/octet-stream");
    assert_eq!(request.body(encrypted(&KEY, b"content")).send().await.unwrap().status(), 200);
    bench.control.set_upload_full_url(false);
    bench.announce(&account, b"content").await;
}

#[tokio::test]
async fn a_thumbnail_is_uploaded_under_its_own_parameter() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let mut body = announcement(b"content");
    body["no_need_thumb"] = json!(false);
    body["thumb_rawsize"] = json!(16);
    body["thumb_rawfilemd5"] = json!(md5(&[0; 16]));
    body["thumb_filesize"] = json!(32);
    let answer = bench.call(&account, "getuploadurl", body).await;
    let thumb = answer["thumb_upload_param"].as_str().unwrap();
    assert_eq!(bench.upload(thumb, encrypted(&KEY, &[0; 16])).await.status(), 200);
}

#[tokio::test]
async fn media_that_nobody_could_see_are_told_apart() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let parameter = bench.uploaded(&account, b"content").await;
    for (field, value) in [("media", json!({})), ("file_name", json!("")), ("len", json!(7)), ("len", json!("x"))] {
        let mut item = file_item(&parameter, 7);
        item["file_item"][field] = value;
        let mut body = message("ann@im.wechat", "c0", None);
        body["msg"]["item_list"] = json!([item]);
        let answer = bench.request(&account, "sendmessage", body).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{field}");
    }
    let mut wrong_key = file_item(&parameter, 7);
    wrong_key["file_item"]["media"]["aes_key"] = json!(STANDARD.encode([7; 16]));
    let mut no_key = file_item(&parameter, 7);
    no_key["file_item"]["media"]["aes_key"] = Value::Null;
    let items = [wrong_key, no_key, file_item("unknown", 7), json!({ "type": 1, "text_item": { "text": "a" } })];
    for (n, item) in items.into_iter().enumerate() {
        bench.send_item(&account, &format!("c{n}"), item).await;
        let url = format!("{}/_sim/sent/{}/content", bench.simulator.url(), n + 1);
        let status = bench.http.get(url).send().await.unwrap().status().as_u16();
        assert_eq!(status, if n < 3 { 409 } else { 404 });
    }
    let nowhere = bench.control_get("sent/99/content").await;
    assert!(nowhere["error"].as_str().unwrap().contains("99"));
}

#[tokio::test]
async fn an_upload_is_struck_by_every_fault() {
    let bench = Bench::new().await;
    let account = bench.bot();
    let plain = sample(3 << 20);
    let parameter = bench.announce(&account, &plain).await;
    let fault = |kind| bench.control.add_fault(Fault::new(Endpoint::CdnUpload, kind).times(1));
    fault(FaultKind::Status(503));
    assert_eq!(bench.upload(&parameter, encrypted(&KEY, &plain)).await.status(), 503);
    let refuse = json!({
        "endpoint": "cdn_upload", "kind": "status", "value": 403, "errmsg": "too large", "times": 1,
        "botId": account.bot_id,
    });
    bench.control_post("faults", refuse).await;
    let answer = bench.upload(&parameter, encrypted(&KEY, &plain)).await;
    assert_eq!((answer.status().as_u16(), reason(&answer)), (403, "too large"));
    fault(FaultKind::WrongJson);
    let answer = bench.upload(&parameter, encrypted(&KEY, &plain)).await;
    assert!(answer.status() == 200 && answer.headers().get("x-encrypted-param").is_none());
    for kind in [FaultKind::Reset, FaultKind::DropAnswer] {
        fault(kind);
        let query = [("encrypted_query_param", &*parameter), ("filekey", "00112233445566778899aabbccddeeff")];
        let request = bench.http.post(format!("{}/upload", bench.simulator.cdn_url())).query(&query);
        let request = request.header("content-type", "application/octet-stream");
        assert!(request.body(encrypted(&KEY, &plain)).send().await.is_err());
    }
    fault(FaultKind::Truncate);
    let answer = bench.upload(&parameter, encrypted(&KEY, &plain)).await;
    assert!(answer.status() == 200 && answer.bytes().await.is_err());
    assert_eq!(bench.upload(&parameter, encrypted(&KEY, &plain)).await.status(), 200);

    bench.control.add_fault(Fault::new(Endpoint::GetUploadUrl, FaultKind::Ret { ret: -1, errmsg: None }).times(1));
    assert_eq!(bench.call(&account, "getuploadurl", announcement(&plain)).await, json!({ "ret": -1 }));
}
