//! The contract on a WebSocket: a text message is a line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::http::{App, CameFrom, Failure, recognise};
use super::hub::Hub;
use super::methods;
use super::session::Session;
use crate::contract::MAX_LINE_BYTES;
use crate::inbound::WINDOW;
use crate::rpc::{End, Frame, Lines, Server, lines};

/// The longest message that is read: one longer than a line is answered with an error, one longer than this ends the connection.
const MESSAGE_AT_MOST: usize = 2 * MAX_LINE_BYTES;
/// Bytes that are read at once.
const READ_BUFFER: usize = 16 * 1024;
/// How long a message may take to be written to somebody who does not read.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked whether the other side is still there, and how long it may be silent.
const PING: Duration = Duration::from_secs(20);
const SILENT: Duration = Duration::from_secs(60);
/// Notifications that wait for somebody who does not read; beyond it the connection is closed.
const WAITING: usize = 10_000;
/// How long requests under way may take to be answered when the other side has closed.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Takes a connection over.
pub async fn upgrade(
    State(app): State<App>,
    axum::Extension(ConnectInfo(from)): CameFrom,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let (caller, revoked) = recognise(&app, &headers, from.ip())?;
    let hub = app.hub;
    let upgrade = upgrade.max_message_size(MESSAGE_AT_MOST).max_frame_size(MESSAGE_AT_MOST);
    // What is written is passed on at once, and no more is kept than one message of ours.
    let upgrade = upgrade.write_buffer_size(0).max_write_buffer_size(2 * MAX_LINE_BYTES);
    // An idle connection keeps its read buffer: the default has 128 KiB.
    let upgrade = upgrade.read_buffer_size(READ_BUFFER);
    Ok(upgrade.on_upgrade(move |socket| run(socket, hub, caller, revoked, from)))
}

async fn run(socket: WebSocket, hub: Arc<Hub>, caller: Arc<Caller>, revoked: CancellationToken, from: SocketAddr) {
    let end = hub.stop.child_token();
    let (outgoing, to_write) = lines(WINDOW);
    let session = Arc::new(Session::of_connection(hub.clone(), caller.clone(), outgoing.clone()));
    let Ok(module) = methods::module(session.clone()) else { return };
    let ready = session.clone();
    let server = Arc::new(Server::new(module, outgoing.clone(), move || ready.is_ready()));
    let connected = hub.connections.add(caller.clone(), outgoing.clone());
    tracing::debug!(%from, backend = &*caller.backend, "connected");
    let (write, read) = socket.split();
    let (frames, lines_in) = mpsc::channel(1);
    tokio::spawn(read_frames(read, frames, end.clone()));
    let writing = tokio::spawn(write_lines(write, to_write, revoked, end.clone()));
    if server.serve_frames(lines_in, &end).await == End::Closed {
        server.tasks().close();
        let _ = tokio::time::timeout(LAST_ANSWERS, server.tasks().wait()).await;
    }
    session.disconnected();
    // Behind what is answered already, that to `shutdown` too.
    outgoing.finish();
    let _ = tokio::time::timeout(LAST_ANSWERS, writing).await;
    end.cancel();
    drop(connected);
    tracing::debug!(%from, backend = &*caller.backend, "disconnected");
}

/// Hands on what comes until the other side is closed, broken or silent, or says more at once than is read.
async fn read_frames(mut read: SplitStream<WebSocket>, frames: mpsc::Sender<Vec<Frame>>, end: CancellationToken) {
    loop {
        let message = tokio::select! {
            () = end.cancelled() => return,
            message = tokio::time::timeout(SILENT, read.next()) => message,
        };
        let line = match message {
            Ok(Some(Ok(Message::Text(text)))) => text.as_bytes().to_vec(),
            Ok(Some(Ok(Message::Binary(bytes)))) => bytes.to_vec(),
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            _ => return,
        };
        let frame = if line.len() > MAX_LINE_BYTES { Frame::TooLong } else { Frame::Line(line) };
        if frames.send(vec![frame]).await.is_err() {
            return;
        }
    }
}

/// Writes lines until there are no more, or nobody takes them; the connection ends with that.
async fn write_lines(
    mut write: SplitSink<WebSocket, Message>,
    mut to_write: Lines,
    revoked: CancellationToken,
    end: CancellationToken,
) {
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
    let reason = loop {
        let message = tokio::select! {
            biased;
            () = revoked.cancelled() => break "the token was revoked",
            line = to_write.next() => match line {
                Some(line) => Message::Text(line.into()),
                None => break "",
            },
            _ = ping.tick() => Message::Ping(Default::default()),
            () = end.cancelled() => break "the hub ends the connection",
        };
        let slow = to_write.waiting() > WAITING;
        let sent = tokio::select! {
            biased;
            // Also of somebody who does not read.
            () = revoked.cancelled() => break "the token was revoked",
            sent = tokio::time::timeout(WRITE_WITHIN, write.send(message)) => sent,
        };
        if slow || !matches!(sent, Ok(Ok(()))) {
            break "it does not read";
        }
    };
    end.cancel();
    let close = Message::Close(Some(CloseFrame { code: 1000, reason: reason.into() }));
    let _ = tokio::time::timeout(Duration::from_secs(1), write.send(close)).await;
}
