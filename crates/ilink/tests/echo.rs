//! The example, against the simulator: what its readers copy must work.

use std::time::Duration;

use ilink_simulator::{Content, LoginStep, Media, SentFilter, Simulator, SimulatorConfig};

#[allow(dead_code)]
#[path = "../examples/echo.rs"]
mod echo;

const ANN: &str = "ann@im.wechat";
const BOT: &str = "echo@im.bot";

#[tokio::test]
async fn the_example_logs_in_answers_and_sends_a_file_back() {
    let simulator = Simulator::start(SimulatorConfig { strict: true, ..SimulatorConfig::default() }).await.unwrap();
    tokio::select! {
        ended = echo::run(simulator.url(), simulator.cdn_url()) => panic!("the bot ended: {ended:?}"),
        () = a_person(&simulator) => {}
    }
    simulator.stop().await;
}

/// Scans the code, writes, and sends a file.
async fn a_person(simulator: &Simulator) {
    let control = simulator.control();
    while control.state().logins.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    control.login("latest", LoginStep::Scan).unwrap();
    let confirm = LoginStep::Confirm { user_id: Some(ANN.to_owned()), bot_id: Some(BOT.to_owned()) };
    control.login("latest", confirm).unwrap();
    control.push_text(BOT, ANN, "hello").unwrap();
    let answered = async |count| {
        let sent = control.wait_for_sent(&SentFilter::default(), count, Duration::from_secs(30)).await;
        assert_eq!(sent.len(), count, "{sent:?}");
        sent[count - 1].clone()
    };
    assert_eq!(answered(1).await.text.as_deref(), Some("echo: hello"));

    let (media, file_name) = (Media::bytes("to do\n"), "notes.txt".to_owned());
    control.push_content(BOT, ANN, vec![Content::File { media, file_name, md5: None, len: None }]).unwrap();
    let back = answered(2).await;
    assert_eq!(back.items[0]["file_item"]["file_name"], "notes.txt");
    assert_eq!(back.items[0]["file_item"]["len"], "6");
    let content = control.sent_content(&back).unwrap();
    // MD5 of "to do" and a line's end.
    assert_eq!((content.size, content.md5.as_str()), (6, "4f3fc91895c6c0a8ff4d331f44d8cc55"));
}
