//! The loop: read a line, run what it asks for beside everything else, answer when it is done.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt as _;
use jsonrpsee::RpcModule;
use jsonrpsee::types::{Id, Params};
use jsonrpsee::{ConnectionId, MethodCallback, MethodResponse};
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answered::answering;
use super::call::{Call, error_object, no_request};
use super::frame::{Frame, Frames};
use super::outgoing::Outgoing;
use crate::contract::{ContractError, ErrorKind, MAX_LINE_BYTES};
use crate::supervise::caught;

/// Requests at once. Beyond it stdin is not read, so that a gateway that asks without listening is held back.
const REQUESTS: usize = 1024;
/// Bytes of the lines that are being worked on: a bound for few long lines, where [`REQUESTS`] is one for many short ones.
const BYTES: usize = 4 * MAX_LINE_BYTES;

/// How long `initialize` may still take when the gateway has closed stdin meanwhile.
const LAST_INITIALIZE: Duration = Duration::from_secs(1);

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// stdin ended, or stdout broke: the gateway is gone.
    Closed,
    /// `shutdown` was answered.
    Shutdown,
    /// It was told to from inside: a signal.
    Stopped,
}

/// Serves one gateway.
pub struct Server<C> {
    module: RpcModule<C>,
    outgoing: Outgoing,
    /// Whether requests other than `initialize` may run.
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    requests: Arc<Semaphore>,
    in_batches: Semaphore,
    bytes: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl<C: Send + Sync + 'static> Server<C> {
    /// A server for the methods of `module`.
    pub fn new(module: RpcModule<C>, outgoing: Outgoing, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Server {
            module,
            outgoing,
            is_ready: Box::new(is_ready),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            in_batches: Semaphore::new(REQUESTS),
            bytes: Arc::new(Semaphore::new(BYTES)),
            tasks: TaskTracker::new(),
        }
    }

    /// Requests that are being worked on; closed and waited for by who ends the process.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Serves until the gateway is gone, `shutdown` is answered, or `stop` is cancelled.
    pub async fn serve(self: &Arc<Self>, input: impl BufRead + Send + 'static, stop: &CancellationToken) -> End {
        match read_thread(input) {
            Ok(frames) => self.serve_frames(frames, stop).await,
            Err(error) => {
                tracing::error!(%error, "stdin cannot be read");
                End::Closed
            }
        }
    }

    /// The same for frames that come some other way; `frames` ends with the gateway.
    pub async fn serve_frames(
        self: &Arc<Self>,
        mut frames: mpsc::Receiver<Vec<Frame>>,
        stop: &CancellationToken,
    ) -> End {
        let asked = CancellationToken::new();
        let mut held = VecDeque::new();
        loop {
            let frame = tokio::select! {
                biased;
                () = asked.cancelled() => return End::Shutdown,
                () = stop.cancelled() => return End::Stopped,
                frame = async {
                    if held.is_empty() {
                        held.extend(frames.recv().await?);
                    }
                    held.pop_front()
                } => match frame {
                    Some(frame) => frame,
                    None => return End::Closed,
                },
            };
            let cost = match &frame {
                Frame::Line(line) => line.len().clamp(1, MAX_LINE_BYTES),
                Frame::TooLong => 1,
            };
            let (request, bytes) = tokio::select! {
                biased;
                () = asked.cancelled() => return End::Shutdown,
                () = stop.cancelled() => return End::Stopped,
                permits = async {
                    let request = self.requests.clone().acquire_owned().await;
                    let bytes = self.bytes.clone().acquire_many_owned(cost as u32).await;
                    (request, bytes)
                } => permits,
            };
            // Neither semaphore is ever closed.
            let (Ok(request), Ok(bytes)) = (request, bytes) else { return End::Stopped };
            let server = self.clone();
            let done = asked.clone();
            let initializing = !(self.is_ready)();
            let mut work = Box::pin(answering(async move {
                let (answer, shutdown) = server.answer(frame).await;
                drop(bytes);
                if let Some(answer) = answer {
                    server.outgoing.respond(answer, request);
                }
                if shutdown {
                    done.cancel();
                }
            }));
            if initializing {
                // Whatever came in the same breath as `initialize` finds it answered.
                tokio::select! {
                    biased;
                    () = &mut work => continue,
                    () = stop.cancelled() => return End::Stopped,
                    () = hold_until_closed(&mut frames, &mut held) => {}
                }
                // The gateway asked and went. It is answered if that is soon; whatever hangs is left behind.
                match tokio::time::timeout(LAST_INITIALIZE, work).await {
                    Ok(()) => continue,
                    Err(_) => return End::Closed,
                }
            }
            // Requests run concurrently, but they begin in the order of their lines: each is taken to its first wait
            // here, so that two sends to one person queue up as they were written.
            if (&mut work).now_or_never().is_none() {
                self.tasks.spawn(work);
            }
        }
    }

    /// Answers one line that comes alone, as over HTTP; `None` where it asked for no answer.
    pub async fn answer_one(self: &Arc<Self>, frame: Frame) -> Option<String> {
        answering(async { self.answer(frame).await.0 }).await
    }

    /// The answer to a line, if it gets one, and whether it was a `shutdown`.
    pub(crate) async fn answer(self: &Arc<Self>, frame: Frame) -> (Option<String>, bool) {
        let refused = |(id, error): (Id<'static>, ContractError)| {
            (Some(MethodResponse::error(id, error_object(error)).into_json().get().to_owned()), false)
        };
        let line = match frame {
            Frame::Line(line) => line,
            Frame::TooLong => {
                let message = format!("the line is longer than {MAX_LINE_BYTES} bytes and was skipped");
                return refused(no_request(ErrorKind::InvalidRequest, message));
            }
        };
        let text = match String::from_utf8(line) {
            Ok(text) => text,
            Err(error) => return refused(no_request(ErrorKind::ParseError, format!("not UTF-8: {error}"))),
        };
        if !text.trim_start().starts_with('[') {
            if let Err(error) = serde_json::from_str::<&RawValue>(&text) {
                return refused(no_request(ErrorKind::ParseError, format!("not JSON: {error}")));
            }
            let shutdown = matches!(Call::parse(&text), Ok(call) if call.method == "shutdown" && (self.is_ready)());
            return (self.run(&text).await, shutdown);
        }
        let batch: Vec<&RawValue> = match serde_json::from_str(&text) {
            Ok(batch) => batch,
            Err(error) => return refused(no_request(ErrorKind::ParseError, format!("not JSON: {error}"))),
        };
        if batch.is_empty() {
            return refused(no_request(ErrorKind::InvalidRequest, "an empty batch"));
        }
        if batch.len() > REQUESTS {
            let message =
                format!("a batch of {} requests was refused: {REQUESTS} is the most; send several", batch.len());
            return refused(no_request(ErrorKind::InvalidRequest, message));
        }
        let shutdown = batch.iter().any(|one| matches!(Call::parse(one.get()), Ok(call) if call.method == "shutdown"));
        // Each answer has its refusal's bytes, and takes the rest from what all have together.
        let refusals: Vec<String> = batch.iter().map(|one| too_long(one.get())).collect();
        let taken: usize = refusals.iter().map(|refusal| refusal.len() + 1).sum::<usize>() + 1;
        let Some(room) = MAX_LINE_BYTES.checked_sub(taken) else {
            return refused(no_request(ErrorKind::InvalidRequest, "the ids of the batch are too long; send several"));
        };
        let room = AtomicUsize::new(room);
        let answers = futures_util::future::join_all(batch.iter().zip(&refusals).map(|(one, refusal)| async {
            // All batches together have as many at once as there may be lines.
            let _turn = self.in_batches.acquire().await;
            let answer = self.run(one.get()).await?;
            let more = answer.len().saturating_sub(refusal.len());
            let fits = room.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(more)).is_ok();
            Some(if fits { answer } else { refusal.clone() })
        }))
        .await;
        let answers: Vec<String> = answers.into_iter().flatten().collect();
        let line = (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")));
        (line, shutdown && (self.is_ready)())
    }

    /// Runs one request; a notification has no answer.
    async fn run(self: &Arc<Self>, text: &str) -> Option<String> {
        let call = match Call::parse(text) {
            Ok(call) => call,
            Err((id, error)) => return Some(response(MethodResponse::error(id, error_object(error)))),
        };
        let is_request = call.id.is_some();
        let id = call.id.clone().unwrap_or(Id::Null);
        // A panic in a handler is an answer, not the end of the process. What it leaves behind is on disk or behind locks
        // that do without poisoning.
        let method = call.method.to_string();
        let answer = caught(&method, self.call(call)).await.unwrap_or_else(|| {
            let defect = ContractError::new(ErrorKind::Internal, "a defect of the sidecar; its log says more");
            MethodResponse::error(id, error_object(defect))
        });
        let answer = is_request.then(|| response(answer))?;
        Some(if answer.len() < MAX_LINE_BYTES { answer } else { too_long(text) })
    }

    async fn call(&self, call: Call) -> MethodResponse {
        let id = call.id.unwrap_or(Id::Null);
        if call.method != "initialize" && !(self.is_ready)() {
            let error = ContractError::new(ErrorKind::NotInitialized, "call initialize first");
            return MethodResponse::error(id, error_object(error));
        }
        // All methods are registered as asynchronous ones.
        let Some(MethodCallback::Async(method)) = self.module.method(&call.method) else {
            let message = format!("there is no method {:?}", call.method);
            return MethodResponse::error(id, error_object(ContractError::new(ErrorKind::MethodNotFound, message)));
        };
        let params = Params::new(call.params.as_deref()).into_owned();
        method(id, params, ConnectionId(0), usize::MAX, Default::default()).await
    }
}

/// Takes in what comes, without doing it, until the other side is closed. It comes back only then: beyond [`BYTES`] nothing is
/// read.
async fn hold_until_closed(frames: &mut mpsc::Receiver<Vec<Frame>>, held: &mut VecDeque<Frame>) {
    let size = |frame: &Frame| match frame {
        Frame::Line(line) => line.len() + size_of::<Frame>(),
        Frame::TooLong => size_of::<Frame>(),
    };
    let mut bytes: usize = held.iter().map(size).sum();
    while let Some(more) = frames.recv().await {
        bytes += more.iter().map(size).sum::<usize>();
        held.extend(more);
        if bytes > BYTES {
            std::future::pending::<()>().await;
        }
    }
}

/// What a request is told whose answer does not fit into its line.
fn too_long(request: &str) -> String {
    let id = Call::parse(request).ok().and_then(|call| call.id).unwrap_or(Id::Null);
    let message = format!(
        "it was done, but its answer would make the line longer than {MAX_LINE_BYTES} bytes; send such requests alone, or ask for less"
    );
    response(MethodResponse::error(id, error_object(ContractError::new(ErrorKind::InvalidRequest, message))))
}

fn response(answer: MethodResponse) -> String {
    answer.into_json().get().to_owned()
}

/// Reads frames on a thread of its own: a blocked read of stdin cannot be cancelled, and must not keep the process.
fn read_thread(input: impl BufRead + Send + 'static) -> std::io::Result<mpsc::Receiver<Vec<Frame>>> {
    let (frames, received) = mpsc::channel(1);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut input = Frames::new(input, MAX_LINE_BYTES);
        // Lines that came together wake the other side once.
        let mut together = Vec::new();
        loop {
            match input.read() {
                Ok(Some(frame)) => {
                    together.push(frame);
                    if !input.has_next() && frames.blocking_send(std::mem::take(&mut together)).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => return tracing::error!(%error, "stdin cannot be read"),
            }
        }
    })?;
    Ok(received)
}
