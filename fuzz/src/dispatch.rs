//! JSON-RPC: one line in, its answer out. The methods are the contract's, with handlers that only read their parameters, so
//! that no state and no runtime is in the way.

use std::sync::{Arc, LazyLock};

use jsonrpsee::RpcModule;
use openclaw_weixin_sidecar::contract::*;
use openclaw_weixin_sidecar::fuzzing::{Frame, Server, answer};
use openclaw_weixin_sidecar::rpc::{register, stdout_writer};
use serde_json::Value;

static SERVER: LazyLock<Arc<Server<()>>> = LazyLock::new(|| {
    let mut module = RpcModule::new(());
    macro_rules! methods {
        ($($name:literal: $params:ty),* $(,)?) => {
            $(register(&mut module, $name, async |_: Arc<()>, _: $params| Ok(true)).expect($name);)*
        };
    }
    methods! {
        "initialize": InitializeParams,
        "config.set": ConfigSetParams,
        "accounts.list": Empty,
        "accounts.remove": AccountParams,
        "login.start": LoginStartParams,
        "login.wait": LoginWaitParams,
        "login.submitCode": LoginSubmitCodeParams,
        "login.cancel": LoginCancelParams,
        "inbound.ack": InboundAckParams,
        "inbound.nack": InboundNackParams,
        "outbound.sendText": SendTextParams,
        "outbound.sendTyping": SendTypingParams,
        "outbound.queue": QueueParams,
        "outbound.cancel": CancelParams,
        "status.get": StatusGetParams,
        "shutdown": Empty,
    }
    let (outgoing, _) = stdout_writer(std::io::sink(), 1, Default::default()).expect("a thread");
    Arc::new(Server::new(module, outgoing, || true))
});

pub fn check(line: &[u8]) {
    // A frame has neither a newline nor only white space.
    if line.contains(&b'\n') || line.iter().all(u8::is_ascii_whitespace) {
        return;
    }
    let answered = answer(&SERVER, Frame::Line(line.to_vec()));
    let asked = serde_json::from_slice::<Value>(line);
    let Some(text) = answered else {
        // Only notifications stay without an answer.
        let asked = asked.expect("what is no JSON is answered");
        let calls = asked.as_array().map_or(std::slice::from_ref(&asked), Vec::as_slice);
        assert!(!calls.is_empty() && calls.iter().all(|call| call.is_object() && call.get("id").is_none()));
        return;
    };
    assert!(!text.contains('\n'), "an answer is a line");
    let answer: Value = serde_json::from_str(&text).expect("an answer is JSON");
    match answer {
        Value::Array(answers) => {
            if let Ok(Value::Array(asked)) = &asked {
                assert!(!answers.is_empty() && answers.len() <= asked.len());
            }
            answers.iter().for_each(|answer| one(answer, None));
        }
        answer => one(&answer, asked.ok().as_ref()),
    }
}

fn one(answer: &Value, asked: Option<&Value>) {
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.get("id").is_some(), "{answer}");
    assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
    if let Some(error) = answer.get("error") {
        assert!(
            error["code"].is_i64() && error["message"].is_string() && error["data"]["kind"].is_string(),
            "{answer}"
        );
    } else if let Some(id) = asked.and_then(|asked| asked.get("id")) {
        assert_eq!(&answer["id"], id);
    }
}
