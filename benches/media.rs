//! A large file in each direction: how fast, how much memory, beside a plain copy of the same file over loopback.
//!
//! Out: `outbound.sendMedia` of a file until its answer: linked or copied, hashed, encrypted into the upload, sent. In: from
//! the person's message until the delivery whose file is whole. The simulator is the media host, in this process. The floor
//! reads the file into a loopback connection whose other end writes it to a file: no hash, no cipher, no HTTP.
//!
//! Options: `--mib N` (1024), `--runs N` (3), `--binary PATH`, `--json`.

mod common;

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _, copy};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Gateway, Memory, Report, Samples};
use ilink_simulator::{Content, Control, Media, NewBot, Simulator, SimulatorConfig};
use rand::RngExt as _;
use serde_json::{Value, json};

const MIB: usize = 1 << 20;
const PERSON: &str = "ann@im.wechat";

fn main() {
    let mib: usize = common::value("--mib", 1024);
    let runs: usize = common::value("--runs", 3);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large.bin");
    write_random(&file, mib);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let simulator = runtime.block_on(Simulator::start(SimulatorConfig::default())).unwrap();
    let mut bench = Bench::start(&simulator.url(), simulator.control(), dir.path(), mib);

    let [mut out, mut into, mut plain] = [(); 3].map(|()| Samples::default());
    let small = dir.path().join("small.bin");
    write_random(&small, 1);
    bench.send(&small);
    bench.receive(&small);
    let peak = |bench: &Bench| Memory::of(bench.gateway.pid()).map(|memory| memory.peak);
    let before = peak(&bench);
    for run in 0..runs {
        // The same file to the same person is not uploaded twice.
        File::options().write(true).open(&file).unwrap().write_all(&run.to_le_bytes()).unwrap();
        let rate = |took: Duration| mib as f64 / took.as_secs_f64();
        plain.push(rate(plain_copy(&file, &dir.path().join("copy.bin"))));
        out.push(rate(bench.send(&file)));
        into.push(rate(bench.receive(&file)));
    }
    let after = peak(&bench);

    let mut report = Report::new(format!("media: a file of {mib} MiB in each direction ({runs} runs)"));
    let floor = ("plain copy over loopback", plain.median());
    report.figure("out, median", "MiB/s", out.median(), None, floor);
    report.figure("in, median", "MiB/s", into.median(), None, floor);
    if let (Some(before), Some(after)) = (before, after) {
        report.note("memory grew by", "MiB", after - before);
    }
    report.print();
    bench.gateway.stop();
    runtime.block_on(simulator.stop());
}

/// A sidecar with one account, whose person has written.
struct Bench {
    gateway: Gateway,
    control: Control,
    bot: String,
}

impl Bench {
    fn start(url: &str, control: Control, dir: &Path, mib: usize) -> Bench {
        let (bot, account) = (common::bot_id(1), common::account_id(1));
        common::write_accounts(dir, 1);
        let new = NewBot { bot_id: Some(bot.clone()), token: Some(common::token(1)), ..NewBot::default() };
        control.create_bot(new).unwrap();
        let mut gateway = Gateway::start(url, dir);
        let config = json!({ "cdnBaseUrl": format!("{url}/c2c"), "mediaMaxMb": mib * 2 });
        gateway.call("config.set", &json!({ "config": config }));
        gateway.start_accounts(&[account]);
        control.push_text(&bot, PERSON, "hello").unwrap();
        let mut bench = Bench { gateway, control, bot };
        bench.delivery();
        bench
    }

    /// The next delivery, acked.
    fn delivery(&mut self) -> Value {
        let message = loop {
            let line: Value = serde_json::from_str(&self.gateway.line()).unwrap();
            if line["method"] == "inbound.message" {
                break line["params"].clone();
            }
        };
        self.gateway.call("inbound.ack", &json!({ "deliveryIds": [message["deliveryId"]] }));
        message
    }

    fn send(&mut self, file: &Path) -> Duration {
        let began = Instant::now();
        let result = self.gateway.call("outbound.sendMedia", &json!({ "to": PERSON, "path": file }));
        assert_eq!(result["status"], "sent", "{result}");
        began.elapsed()
    }

    fn receive(&mut self, file: &Path) -> Duration {
        let media = Content::File { media: Media::file(file), file_name: "large.bin".into(), md5: None, len: None };
        let size = file.metadata().unwrap().len();
        self.control.push_content(&self.bot, PERSON, vec![media]).unwrap();
        let began = Instant::now();
        let message = self.delivery();
        let took = began.elapsed();
        assert_eq!(message["parts"][0]["sizeBytes"], size, "{message}");
        std::fs::remove_file(message["parts"][0]["path"].as_str().unwrap()).unwrap();
        took
    }
}

fn write_random(file: &Path, mib: usize) {
    let mut writer = BufWriter::new(File::create(file).unwrap());
    let mut block = vec![0; MIB];
    for _ in 0..mib {
        rand::rng().fill(block.as_mut_slice());
        writer.write_all(&block).unwrap();
    }
    writer.flush().unwrap();
}

fn plain_copy(from: &Path, to: &Path) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut from, to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let began = Instant::now();
    let receiver = std::thread::spawn(move || {
        let (mut stream, mut to) = (listener.accept().unwrap().0, to);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return,
                read => to.write_all(&buffer[..read]).unwrap(),
            }
        }
    });
    // Through a buffer like the other end: `copy` from a file to a socket would stay in the kernel.
    let mut stream = BufWriter::with_capacity(64 * 1024, TcpStream::connect(address).unwrap());
    copy(&mut from, &mut stream).unwrap();
    drop(stream);
    receiver.join().unwrap();
    began.elapsed()
}
