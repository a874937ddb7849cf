//! Logs on stderr: a JSON object a line (`ts`, `level`, `target`, `msg`, and the event's own fields).
//!
//! Writing is left to a thread behind a bounded queue: a gateway that does not read stderr costs log lines, never a
//! delivery. How many lines were lost is said in the next one that gets through.
//!
//! By hand, because gateways read these lines by the names above: the JSON layer of `tracing-subscriber` nests an event's fields,
//! and the queue of `tracing-appender` does not tell a reader that lines are missing.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait.
const QUEUE: usize = 1024;
/// The variable that sets the level.
const LEVEL: &str = "OPENCLAW_WEIXIN_LOG";

/// Starts logging. `serving`: at `info` by default; otherwise a person reads stderr, and only errors belong there.
pub fn start(serving: bool) {
    let default = if serving { "info" } else { "error" };
    let level = std::env::var(LEVEL).ok().filter(|level| !level.trim().is_empty());
    let filter = level.as_deref().and_then(targets).or_else(|| targets(default)).unwrap_or_default();
    let (lines, queued) = sync_channel::<String>(QUEUE);
    let writer = std::thread::Builder::new().name("log".into()).spawn(move || {
        for line in queued {
            // Where stderr is gone there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    });
    if writer.is_ok() {
        let _ =
            tracing_subscriber::registry().with(filter).with(JsonLines { lines, lost: AtomicU64::new(0) }).try_init();
        if serving {
            panic::set_hook(Box::new(log_panic));
        }
    }
}

/// A panic is a line like any other: who reads the log as JSON sees it too.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let what = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current().name().map(str::to_owned);
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(panic = what, place, thread, trace, "a defect of the sidecar; please report it");
}

/// A bare level is meant for this program: libraries stay at warnings unless they are named (`hyper=debug,info`).
fn targets(level: &str) -> Option<Targets> {
    match level.trim().parse::<LevelFilter>() {
        Ok(level) => Some(Targets::new().with_default(LevelFilter::WARN).with_target("openclaw_weixin_sidecar", level)),
        Err(_) => level.parse().ok(),
    }
}

struct JsonLines {
    lines: SyncSender<String>,
    lost: AtomicU64,
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("ts".into(), crate::store::now_ms().into());
        line.insert("level".into(), meta.level().as_str().to_lowercase().into());
        line.insert("target".into(), meta.target().into());
        line.insert("msg".into(), fields.message.into());
        line.extend(fields.others);
        // Taken, so that no two threads report the same ones; given back where this line is lost too.
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            line.insert("lostLines".into(), json!(lost));
        }
        if self.lines.try_send(Value::Object(line).to_string()).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => drop(self.others.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_lines_are_counted_once_and_none_twice() {
        let (lines, queued) = sync_channel::<String>(1);
        let subscriber = tracing_subscriber::registry().with(JsonLines { lines, lost: AtomicU64::new(0) });
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..4 {
                tracing::info!("a line");
            }
            let first: Value = serde_json::from_str(&queued.recv().unwrap()).unwrap();
            assert_eq!(first.get("lostLines"), None);
            tracing::info!("a line");
            let second: Value = serde_json::from_str(&queued.recv().unwrap()).unwrap();
            assert_eq!(second["lostLines"], 3);
            tracing::info!("a line");
            let third: Value = serde_json::from_str(&queued.recv().unwrap()).unwrap();
            assert_eq!(third.get("lostLines"), None);
        });
    }
}
