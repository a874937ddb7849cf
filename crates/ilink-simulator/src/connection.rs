//! Connections that can be cut on purpose.
//!
//! A handler can only ever answer; "no answer at all" has to happen below HTTP. So the listener hands out streams
//! that carry a switch, and the handler gets the switch of its own connection: once it is thrown, reading and writing
//! fail, and the HTTP layer drops the socket without having sent a byte.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const RESET: u8 = 2;

/// The switch of one connection.
#[derive(Debug, Clone)]
pub(super) struct Connection(Arc<AtomicU8>);

impl Connection {
    /// Ends the connection: the peer reads an end of stream where the answer should be.
    pub(super) fn close(&self) {
        self.0.store(CLOSED, Ordering::Release);
    }

    /// Ends the connection the rude way: the peer gets a TCP reset.
    pub(super) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Listener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().connection.clone()
    }
}

/// The listening socket, giving out [`Stream`]s.
#[derive(Debug)]
pub(super) struct Listener(pub(super) TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((socket, peer)) => {
                    // Without it a small answer can wait 40 ms for the client's delayed ACK. It cannot matter for
                    // correctness, so a failure is not worth a word.
                    let _ = socket.set_nodelay(true);
                    let connection = Connection(Arc::new(AtomicU8::new(OPEN)));
                    return (Stream { socket, connection }, peer);
                }
                Err(error) => {
                    // Mostly the limit of open files; trying again at once would spin.
                    tracing::warn!(%error, "the simulator cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A TCP stream that fails once its [`Connection`] was cut.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    connection: Connection,
}

impl Stream {
    fn alive(&self) -> io::Result<()> {
        match self.connection.0.load(Ordering::Acquire) {
            OPEN => return Ok(()),
            // If the option cannot be set, the peer sees a close instead of a reset: still no answer.
            RESET => drop(self.socket.set_zero_linger()),
            _ => {}
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive()?;
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.alive()?;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.alive()?;
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
