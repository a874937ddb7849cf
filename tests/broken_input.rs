//! Whatever comes on stdin is answered, and the stream goes on.

mod common;

use common::{EXIT, World, text};
use serde_json::{Value, json};

const STATUS: &str = r#"{"jsonrpc":"2.0","id":"still here","method":"status.get"}"#;

/// Writes bytes as a line of their own; returns the answer, after a check that the next line is answered too.
#[track_caller]
fn answer_to(bytes: &[u8]) -> Value {
    let world = World::new();
    let sidecar = world.sidecar();
    sidecar.write(&[bytes, b"\n"].concat());
    let answer = sidecar.other(0);
    sidecar.write(format!("{STATUS}\n").as_bytes());
    let next = sidecar.other(1);
    assert_eq!(next["id"], "still here");
    assert_eq!(next["result"]["process"]["pid"], sidecar.pid());
    answer
}

#[test]
fn a_line_that_is_not_json_is_answered_and_the_stream_goes_on() {
    for line in ["this is not JSON", r#"{"jsonrpc":"2.0","id":1,"#, "[1, 2", "\u{feff}{}"] {
        let answer = answer_to(line.as_bytes());
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null), "{line}: {answer}");
        assert_eq!(answer["error"]["data"]["kind"], "parse_error");
    }
}

#[test]
fn a_line_that_is_not_utf_8_is_answered_and_the_stream_goes_on() {
    let answer = answer_to(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}");
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &Value::Null), "{answer}");
    assert!(text(&answer["error"], "message").contains("UTF-8"), "{answer}");
}

#[test]
fn json_that_is_no_request_is_answered_with_the_id_it_has() {
    let cases = [
        ("7", Value::Null),
        (r#""text""#, Value::Null),
        ("{}", Value::Null),
        (r#"{"jsonrpc":"2.0","id":"a"}"#, json!("a")),
        (r#"{"jsonrpc":"2.0","id":"a","method":7}"#, json!("a")),
        (r#"{"jsonrpc":"1.0","id":"a","method":"status.get"}"#, json!("a")),
        (r#"{"jsonrpc":"2.0","id":[],"method":"status.get"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":"a","method":"status.get","params":"x"}"#, json!("a")),
    ];
    let world = World::new();
    let sidecar = world.sidecar();
    for (n, (line, id)) in cases.into_iter().enumerate() {
        sidecar.write(format!("{line}\n").as_bytes());
        let answer = sidecar.other(n);
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32600), &id), "{line}: {answer}");
    }
}

#[test]
fn a_line_nested_too_deeply_is_answered_and_the_stream_goes_on() {
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":"deep","method":"x","params":{}1{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    for line in [deep.clone(), "[".repeat(200_000), format!("[{deep}]")] {
        answer_to(line.as_bytes());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_line_of_nine_mebibytes_is_skipped_without_being_held() {
    let world = World::new();
    let sidecar = world.sidecar();
    let before = common::memory(sidecar.pid(), "VmRSS");
    let blob = vec![b'x'; 9 << 20];
    let long_line = |n: usize| {
        sidecar.write(&[b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"", &blob[..], b"\"}\n"].concat());
        let answer = sidecar.other(n);
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32600), &Value::Null), "{answer}");
        assert!(text(&answer["error"], "message").contains("8388608"), "it says the limit: {answer}");
    };
    long_line(0);
    let after = common::memory(sidecar.pid(), "VmRSS");
    assert!(after < before + (4 << 20), "it holds {after} bytes, {before} before");
    // The allocator may keep the room of one line for the next one, but not of all of them.
    (1..6).for_each(long_line);
    let after = common::memory(sidecar.pid(), "VmRSS");
    assert!(after < before + (18 << 20), "six such lines left {after} bytes, {before} before");
    // A line that is much longer yet costs no more: it is thrown away as it comes.
    let peak = common::memory(sidecar.pid(), "VmHWM");
    for _ in 0..16 {
        sidecar.write(&blob);
    }
    sidecar.write(b"\n");
    assert_eq!(sidecar.other(6)["error"]["code"], -32600);
    let peak_now = common::memory(sidecar.pid(), "VmHWM");
    assert!(peak_now < peak + (4 << 20), "144 MiB in a line took it from {peak} to {peak_now} bytes");
}

#[test]
fn a_line_of_the_limit_is_a_request_and_one_byte_more_is_not() {
    let world = World::new();
    let sidecar = world.sidecar();
    let limit = world.launch().spawn().initialize()["limits"]["maxLineBytes"].as_u64().unwrap() as usize;
    for (length, code) in [(limit, -32041), (limit + 1, -32600)] {
        let (head, tail) = (r#"{"jsonrpc":"2.0","id":"x","method":"login.cancel","params":{"sessionKey":""#, r#""}}"#);
        let key = "k".repeat(length - head.len() - tail.len());
        sidecar.write(format!("{head}{key}{tail}\n").as_bytes());
        let answer = sidecar.wait("the answer", |seen| seen.others.last().cloned());
        assert_eq!(answer["error"]["code"], code, "{length} bytes");
        sidecar.seen().others.clear();
    }
}

#[test]
fn an_unknown_method_is_named() {
    let world = World::new();
    let error = world.sidecar().refused("outbound.sendSmoke", json!({}));
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32601), &json!("method_not_found")));
    assert!(text(&error, "message").contains("outbound.sendSmoke"), "{error}");
}

#[test]
fn a_parameter_of_the_wrong_type_is_named() {
    let cases = [
        ("outbound.sendText", json!({ "text": "x" }), "to"),
        ("outbound.sendText", json!({ "to": 5, "text": "x" }), "params.to"),
        ("outbound.sendText", json!({ "to": "a", "text": ["x"] }), "params.text"),
        ("outbound.sendTyping", json!({ "to": "a", "active": "yes" }), "params.active"),
        ("account.start", json!({}), "accountId"),
        ("account.start", json!({ "accountId": null }), "params.accountId"),
        ("inbound.ack", json!({ "deliveryIds": "a:1" }), "params.deliveryIds"),
        ("inbound.ack", json!({ "deliveryIds": ["a:1", 2] }), "params.deliveryIds[1]"),
        ("inbound.ack", json!({ "deliveryIds": ["nobody's"] }), "nobody's"),
        ("inbound.nack", json!({ "deliveryId": "a:1", "retryAfterMs": -1 }), "params.retryAfterMs"),
        ("login.wait", json!({ "sessionKey": "a", "timeoutMs": "1" }), "params.timeoutMs"),
        ("status.get", json!({ "probe": "yes" }), "params.probe"),
        ("config.set", json!({ "config": { "outbox": { "burst": "many" } } }), "params.config.outbox.burst"),
    ];
    let world = World::new();
    let sidecar = world.sidecar();
    for (method, params, field) in cases {
        let error = sidecar.refused(method, params);
        assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32602), &json!("invalid_params")), "{error}");
        assert!(text(&error, "message").contains(field), "{method} names {field}: {error}");
    }
}

#[test]
fn an_unknown_configuration_key_is_named() {
    let world = World::new();
    let sidecar = world.launch().with("config", json!({ "outbox": { "quotaPerMesage": 3 } })).spawn();
    let error = sidecar.initialize_refused();
    assert_eq!(error["code"], -32602);
    assert!(text(&error, "message").contains("quotaPerMesage"), "{error}");
    let sidecar = world.sidecar();
    for config in [json!({ "tokn": 1 }), json!({ "accounts": { "a": { "tokn": 1 } } })] {
        let error = sidecar.refused("config.set", json!({ "config": config }));
        assert!(error["code"] == -32602 && text(&error, "message").contains("tokn"), "{error}");
    }
}

#[test]
fn before_initialize_every_other_request_is_refused() {
    let world = World::new();
    let sidecar = world.launch().spawn();
    for method in ["accounts.list", "account.start", "status.get", "shutdown", "no.such.method"] {
        let error = sidecar.refused(method, json!({}));
        assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32002), &json!("not_initialized")), "{method}");
        assert!(text(&error, "message").contains("initialize"), "{error}");
    }
    sidecar.initialize();
    sidecar.call("status.get", json!({}));
}

#[test]
fn requests_in_the_same_breath_as_initialize_find_it_answered() {
    let world = World::new();
    let sidecar = world.launch().spawn();
    let params =
        json!({ "protocolVersion": 1, "host": { "name": "t", "version": "1" }, "stateDir": world.state.path() });
    let line = |id: &str, method: &str, params: Value| {
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    };
    let both = line("a", "initialize", params) + &line("b", "accounts.list", json!({}));
    sidecar.write(both.as_bytes());
    assert_eq!(sidecar.other(0)["id"], "a");
    assert_eq!(sidecar.other(1)["result"]["accounts"], json!([]));
}

#[test]
fn another_protocol_version_is_refused_and_the_right_one_still_accepted() {
    let world = World::new();
    let sidecar = world.launch().with("protocolVersion", 2).spawn();
    let error = sidecar.initialize_refused();
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32602), &json!("invalid_params")));
    let message = text(&error, "message");
    assert!(message.contains("protocolVersion") && message.contains('1') && message.contains('2'), "{message}");
    let host = json!({ "name": "t", "version": "1" });
    let params = json!({ "protocolVersion": 1, "host": host, "stateDir": world.state.path() });
    assert_eq!(sidecar.call("initialize", params)["protocolVersion"], 1);
}

#[test]
fn a_second_initialize_is_refused_and_changes_nothing() {
    let world = World::new();
    let (sidecar, bot) = world.polling();
    let error = sidecar.initialize_refused();
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32600), &json!("invalid_request")));
    assert_eq!(sidecar.call("accounts.list", json!({}))["accounts"][0]["running"], true);
    world.writes(&bot, "ann@im.wechat", "still there?");
    sidecar.deliveries(1);
}

#[test]
fn half_a_line_and_the_end_of_stdin_end_the_process_with_exit_code_0() {
    let world = World::new();
    let sidecar = world.sidecar();
    sidecar.write(br#"{"jsonrpc":"2.0","id":1,"meth"#);
    sidecar.close_stdin();
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
    assert_eq!(sidecar.wait("the answer", |seen| seen.others.first().cloned())["error"]["code"], -32700);
}

#[test]
fn a_whole_request_without_its_newline_is_answered_before_the_end() {
    let world = World::new();
    let sidecar = world.sidecar();
    sidecar.write(br#"{"jsonrpc":"2.0","id":99,"method":"accounts.list"}"#);
    sidecar.close_stdin();
    assert_eq!(sidecar.exit(EXIT).code(), Some(0));
    assert_eq!(sidecar.result(99)["accounts"], json!([]));
}

#[test]
fn a_batch_is_answered_as_one() {
    let world = World::new();
    let sidecar = world.sidecar();
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "accounts.list" },
        { "jsonrpc": "2.0", "method": "accounts.list" },
        7,
        { "jsonrpc": "2.0", "id": 2, "method": "no.such.method" },
        ["2.0", 3, "accounts.list", {}],
        { "jsonrpc": "2.0", "id": 4, "method": "account.start", "params": { "accountId": "nobody" } },
    ]);
    sidecar.write(format!("{batch}\n").as_bytes());
    let answers = sidecar.other(0);
    let brief: Vec<_> = answers.as_array().unwrap().iter().map(|one| (&one["id"], &one["error"]["code"])).collect();
    let (null, no_error) = (Value::Null, Value::Null);
    let expected = [
        (&json!(1), &no_error),
        (&null, &json!(-32600)),
        (&json!(2), &json!(-32601)),
        (&null, &json!(-32600)),
        (&json!(4), &json!(-32010)),
    ];
    assert_eq!(brief, expected, "{answers}");
}

#[test]
fn a_batch_passes_no_limit() {
    let world = World::new();
    let sidecar = world.sidecar();
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "accounts.list" });
    sidecar.write(format!("{}\n", json!(vec![one.clone(); 1025])).as_bytes());
    let error = sidecar.other(0);
    assert_eq!((&error["id"], &error["error"]["code"]), (&Value::Null, &json!(-32600)));
    assert!(text(&error["error"], "message").contains("1024 is the most"), "{error}");
    sidecar.write(format!("{}\n", json!(vec![one; 1024])).as_bytes());
    let answers = sidecar.other(1);
    let answers = answers.as_array().unwrap();
    assert!(answers.len() == 1024 && answers.iter().all(|answer| answer["result"]["accounts"] == json!([])));
}

#[test]
fn the_answers_of_a_batch_fit_into_a_line() {
    let world = World::new();
    // Each is named in each answer.
    let long = "n".repeat(4_000);
    let bots: Vec<_> = (0..10).map(|_| world.bot()).collect();
    let accounts: serde_json::Map<String, Value> =
        bots.iter().map(|bot| (bot.account.clone(), json!({ "name": long }))).collect();
    let sidecar = world.launch().with("config", json!({ "accounts": accounts })).start();
    let batch: Vec<_> = (0..512).map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "accounts.list" })).collect();
    sidecar.write(format!("{}\n", json!(batch)).as_bytes());
    let answers = sidecar.other(0);
    assert!(answers.to_string().len() <= 8 * 1024 * 1024);
    let (answered, refused): (Vec<_>, Vec<_>) =
        answers.as_array().unwrap().iter().partition(|answer| answer["error"].is_null());
    assert!(answered.len() > 100 && refused.len() > 100, "{} and {}", answered.len(), refused.len());
    assert!(text(&refused[0]["error"], "message").contains("it was done, but"));
    assert!(refused[0]["id"].is_number());
}

#[test]
fn an_empty_batch_is_an_error_and_one_of_notifications_is_silent() {
    let world = World::new();
    let sidecar = world.sidecar();
    sidecar.write(b"[]\n");
    assert_eq!(sidecar.other(0)["error"]["code"], -32600);
    let notification = json!({ "jsonrpc": "2.0", "method": "no.such.method" });
    sidecar.write(format!("{}\n{notification}\n", json!([notification, notification])).as_bytes());
    sidecar.write(b"[7]\n");
    // The next answer is that to the last line.
    assert_eq!(sidecar.other(1).as_array().map(Vec::len), Some(1));
}

#[test]
fn carriage_returns_and_blank_lines_are_passed_over() {
    let world = World::new();
    let sidecar = world.sidecar();
    sidecar.write(format!("\r\n\n   \n{STATUS}\r\n").as_bytes());
    assert_eq!(sidecar.other(0)["id"], "still here");
}

#[test]
fn a_request_id_comes_back_as_it_was() {
    let world = World::new();
    let sidecar = world.sidecar();
    for (n, id) in [json!("text"), json!(""), Value::Null].into_iter().enumerate() {
        sidecar.write(format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": "accounts.list" })).as_bytes());
        assert_eq!(sidecar.other(n)["id"], id);
    }
    sidecar.write(b"{\"jsonrpc\":\"2.0\",\"id\":9007199254740993,\"method\":\"accounts.list\"}\n");
    assert_eq!(sidecar.result(9_007_199_254_740_993)["accounts"], json!([]));
}
