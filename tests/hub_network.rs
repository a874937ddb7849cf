//! The hub's port against those who should not get in, or ask for too much: refused, and the others are served.

mod common;

#[cfg(target_os = "linux")]
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use common::hub::{Hub, command, token};
use common::{World, files, until};
use ilink_simulator::Media;
use serde_json::json;

#[test]
fn without_a_right_token_there_is_nothing_but_health_and_the_sign_in() {
    let world = World::new();
    world.bot();
    let (one, viewer) = (token(&world, "one", &[]), token(&world, "eyes", &["--role", "viewer"]));
    let hub = Hub::start(&world);
    assert_eq!(hub.request("GET", "/healthz", |request| request).text(), "ok\n");
    for (method, path) in [
        ("POST", "/rpc"),
        ("GET", "/metrics"),
        ("POST", "/media"),
        ("GET", "/media/abc"),
        ("POST", "/ilink/bot/getupdates"),
        ("POST", "/ilink/bot/sendmessage"),
    ] {
        for bearer in ["", "wxhub_00", &one[..one.len() - 1]] {
            let answer = hub.request(method, path, |request| request.bearer_auth(bearer).body("{}"));
            assert_eq!(answer.status, 401, "{method} {path} {bearer:?}: {}", answer.text());
        }
    }
    assert!(hub.open("wxhub_00").is_err());
    // Whoever only looks changes nothing and reads nothing.
    assert_eq!(hub.call(&viewer, "hub.overview", json!({}))["accounts"]["total"], 1);
    for (method, params) in [
        ("inbound.pull", json!({})),
        ("outbound.sendText", json!({ "to": "ann@im.wechat", "text": "x" })),
        ("outbound.cancel", json!({ "queueId": "q1" })),
        ("hub.tokens.revoke", json!({ "id": "x" })),
        ("hub.trace", json!({ "accountId": "x", "peer": "y", "content": true })),
        ("events.pull", json!({})),
    ] {
        assert_eq!(hub.refused(&viewer, method, params)["data"]["kind"], "forbidden", "{method}");
    }
}

#[test]
fn pages_of_others_and_names_of_others_are_refused() {
    let world = World::new();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let own = hub.url.clone();
    let asked = |name: &'static str, value: String| {
        hub.request("POST", "/rpc", |request| request.bearer_auth(&one).header(name, value).body("{}")).status
    };
    assert_eq!(asked("origin", own), 200);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "file://"] {
        assert_eq!(asked("origin", origin.to_owned()), 403, "{origin}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "hub.local:80"] {
        assert_eq!(asked("host", host.to_owned()), 403, "{host}");
    }
    let page = hub.request("GET", "/", |request| request);
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn who_guesses_is_stopped_and_who_knows_is_not() {
    let world = World::new();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let guess = |n: u32| hub.request("POST", "/rpc", |request| request.bearer_auth(n.to_string()).body("{}")).status;
    let answers: Vec<u16> = (0..40).map(guess).collect();
    assert!(answers[..10].iter().all(|status| *status == 401), "{answers:?}");
    assert_eq!(answers.last(), Some(&429));
    let code = json!({ "code": "0000" }).to_string();
    assert_eq!(
        hub.request("POST", "/session", |request| request.body(code.clone())).status,
        429,
        "the same for sign-ins"
    );
    assert_eq!(hub.request("POST", "/rpc", |request| request.bearer_auth(&one).body("{}")).status, 200);
}

#[test]
fn a_link_signs_in_once_and_the_cookie_is_for_this_page_alone() {
    let world = World::new();
    let hub = Hub::start(&world);
    let code = hub.console_url.split_once("#code=").unwrap().1.to_owned();
    let sign_in = |body: serde_json::Value| hub.request("POST", "/session", |request| request.body(body.to_string()));
    let signed_in = sign_in(json!({ "code": code }));
    assert_eq!(signed_in.status, 204);
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert_eq!(sign_in(json!({ "code": code })).status, 401, "once");
    let pair = cookie.split(';').next().unwrap().to_owned();
    let overview = json!({ "jsonrpc": "2.0", "id": 1, "method": "hub.overview" }).to_string();
    let ask = || hub.request("POST", "/rpc", |request| request.header("cookie", &pair).body(overview.clone())).status;
    assert_eq!(ask(), 200);
    assert_eq!(hub.request("DELETE", "/session", |request| request.header("cookie", &pair)).status, 204);
    assert_eq!(ask(), 401);
    let backend = token(&world, "one", &[]);
    until("the token is known", || hub.request("POST", "/rpc", |r| r.bearer_auth(&backend).body("{}")).status == 200);
    assert_eq!(sign_in(json!({ "token": backend })).status, 403, "a backend has no business there");
}

#[cfg(target_os = "linux")]
#[test]
fn the_slow_the_half_open_and_the_giant_take_nothing_from_the_others() {
    let world = World::new();
    let bot = world.bot();
    let one = token(&world, "one", &[]);
    let hub = Hub::start(&world);
    let address = hub.url.trim_start_matches("http://").to_owned();
    let before = common::memory(hub.pid(), "VmRSS");
    let mut held = Vec::new();
    for n in 0..1_000 {
        let mut socket = TcpStream::connect(&address).unwrap();
        match n % 3 {
            // Says nothing; begins and does not go on; promises a body that does not come.
            0 => {}
            1 => socket.write_all(b"POST /rpc HTTP/1.1\r\nHost: 127").unwrap(),
            _ => {
                let head = format!(
                    "POST /rpc HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {one}\r\nContent-Length: 8000000\r\n\r\n"
                );
                socket.write_all(head.as_bytes()).unwrap();
            }
        }
        held.push(socket);
    }
    let began = Instant::now();
    world.writes(&bot, &bot.user, "through");
    hub.gets(&one, "through");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let grown = common::memory(hub.pid(), "VmRSS").saturating_sub(before);
    assert!(grown < 96 << 20, "{grown} bytes for a thousand connections");
    let giant = hub.try_request("POST", "/rpc", |request| request.bearer_auth(&one).body(vec![b' '; 9 << 20]));
    // Refused in the middle of its body, or before.
    assert!(giant.is_err() || giant.unwrap().status == 413);
    let mut head = vec![b'a'; 200_000];
    head.splice(..0, b"GET /healthz HTTP/1.1\r\nX: ".iter().copied());
    let mut socket = TcpStream::connect(&address).unwrap();
    socket.set_read_timeout(Some(common::DEADLINE)).unwrap();
    let _ = socket.write_all(&head);
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
    drop(held);
    assert_eq!(hub.request("GET", "/healthz", |request| request).status, 200);
}

#[test]
fn received_files_are_for_whose_conversation_it_is_and_no_path_leads_elsewhere() {
    let world = World::new();
    let bot = world.bot();
    world.state.write("openclaw-weixin/hub.toml", format!("[accounts.{}]\ndefault = \"one\"", bot.account));
    let (one, two) = (token(&world, "one", &[]), token(&world, "two", &[]));
    let hub = Hub::start(&world);
    let content = files::bytes(50_000);
    world.sends(&bot, &bot.user, vec![files::file("report 报告.bin", Media::bytes(content.clone()))]);
    let pulled = hub.call(&one, "inbound.pull", json!({ "waitMs": 20_000 }));
    let part = &pulled["messages"][0]["parts"][0];
    let url = part["url"].as_str().unwrap_or_else(|| panic!("{part}"));
    let got = hub.request("GET", url, |request| request.bearer_auth(&one));
    assert_eq!((got.status, &got.body), (200, &content));
    assert_eq!(got.headers["content-disposition"], "attachment");
    assert_eq!(hub.request("GET", url, |request| request.bearer_auth(&two)).status, 404);
    for path in ["/media/..%2f..%2fsidecar.sqlite", "/media/Li4vLi4vc2lkZWNhci5zcWxpdGU", "/media/%00", "/media/"] {
        assert_eq!(hub.request("GET", path, |request| request.bearer_auth(&one)).status, 404, "{path}");
    }

    let posted = hub.request("POST", "/media?name=answer.txt", |request| request.bearer_auth(&one).body("the answer"));
    let id = posted.json()["mediaId"].as_str().unwrap().to_owned();
    let sent = hub.call(&one, "outbound.sendMedia", json!({ "to": bot.user, "mediaId": id, "text": "here" }));
    assert_eq!(sent["status"], "sent", "{sent}");
    let sent = world.wait_for_sent(2);
    assert_eq!(world.control.sent_bytes(&sent[1]).unwrap(), b"the answer");
    assert_eq!(sent[1].media.as_ref().unwrap().file_name.as_deref(), Some("answer.txt"));
    for params in [
        json!({ "to": bot.user, "mediaId": format!("m{:032x}", 7) }),
        json!({ "to": bot.user, "mediaId": "../../x" }),
        json!({ "to": bot.user, "mediaId": id, "path": "/etc/passwd" }),
    ] {
        assert_eq!(hub.refused(&one, "outbound.sendMedia", params)["data"]["kind"], "invalid_params");
    }
    let database = world.state.database();
    let error = hub.refused(&one, "outbound.sendMedia", json!({ "to": bot.user, "path": database }));
    assert_eq!(error["data"]["kind"], "media_denied", "{error}");
    let other = hub.refused(&two, "outbound.sendMedia", json!({ "to": bot.user, "mediaId": id }));
    assert!(["invalid_params", "forbidden"].contains(&other["data"]["kind"].as_str().unwrap()), "{other}");
}

#[test]
fn figures_are_for_admins_and_say_nothing_of_people() {
    let world = World::new();
    let bot = world.bot();
    let (one, admin) = (token(&world, "one", &[]), token(&world, "console", &["--role", "admin"]));
    let hub = Hub::start(&world);
    world.writes(&bot, &bot.user, "hello");
    hub.gets(&one, "hello");
    hub.call(&one, "outbound.sendText", json!({ "to": bot.user, "text": "answer" }));
    assert_eq!(hub.request("GET", "/metrics", |request| request.bearer_auth(&one)).status, 403);
    let page = hub.request("GET", "/metrics", |request| request.bearer_auth(&admin)).text();
    assert!(!page.contains(&bot.user), "{page}");
    let sent = format!("weixin_account_sent_messages_total{{account=\"{}\",status=\"sent\"}} 1\n", bot.account);
    assert!(page.contains(&sent), "{page}");
    assert!(
        page.contains("weixin_hub_backend_queued_messages{backend=")
            || page.contains("# TYPE weixin_hub_backend_queued_messages gauge")
    );
}

#[test]
fn with_a_certificate_it_speaks_tls_and_its_cookies_are_for_that_alone() {
    let world = World::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (world.state.path().join("cert.pem"), world.state.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let paths = [cert.to_str().unwrap(), key.to_str().unwrap()];
    let hub = Hub::start_with(&world, &["--tls-cert", paths[0], "--tls-key", paths[1]]);
    assert!(hub.url.starts_with("https://"), "{}", hub.url);
    let code = json!({ "code": hub.console_url.split_once("#code=").unwrap().1 }).to_string();
    let signed_in = hub.over_tls(made.cert.pem().as_bytes(), "/session", &code);
    assert_eq!(signed_in.status, 204);
    assert!(signed_in.headers["set-cookie"].to_str().unwrap().contains("Secure"));
    // Who says nothing, or no TLS, keeps nobody waiting.
    let mut plain = TcpStream::connect(hub.url.trim_start_matches("https://")).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(hub.over_tls(made.cert.pem().as_bytes(), "/rpc", "{}").status, 401);
}

#[test]
fn other_machines_reach_it_by_tls_or_a_proxy_and_by_a_name() {
    let world = World::new();
    let refused = |args: &[&str]| {
        let ran = command(&world, &[&["hub", "--listen", "0.0.0.0:0"], args].concat()).exits(2);
        ran.stderr
    };
    assert!(refused(&[]).contains("--behind-proxy"));
    assert!(refused(&["--behind-proxy"]).contains("hosts = ["));
    assert!(refused(&["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"]).contains("/nowhere.pem"));
}
