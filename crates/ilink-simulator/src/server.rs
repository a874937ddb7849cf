//! The listening socket and its life.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

use super::config::SimulatorConfig;
use super::connection::{Connection, Listener};
use super::control::Control;
use super::error::SimulatorError;
use super::world::World;
use super::{control_http, ilink};

/// Connections that may wait to be accepted: ten thousand clients that start together should not need a second try.
const BACKLOG: u32 = 8192;

/// How long connections may take to notice that the server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A running simulator. It stops when it is dropped; [`Simulator::stop`] also waits until the port is free.
#[derive(Debug)]
pub struct Simulator {
    world: Arc<World>,
    server: JoinHandle<()>,
    _stops_when_dropped: DropGuard,
}

impl Simulator {
    /// Starts a simulator on 127.0.0.1. It serves when this returns.
    ///
    /// # Errors
    /// [`SimulatorError::Bind`] when the port cannot be had.
    pub async fn start(config: SimulatorConfig) -> Result<Self, SimulatorError> {
        let port = config.port;
        let bound = bind(port).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|source| SimulatorError::Bind { port, source })?;
        let world = Arc::new(World::new(config, format!("http://{address}")));
        let app = router(world.clone()).into_make_service_with_connect_info::<Connection>();
        let serve =
            axum::serve(Listener(listener), app).with_graceful_shutdown(world.shutdown.clone().cancelled_owned());
        let server = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the simulator's server ended");
            }
        });
        let guard = world.shutdown.clone().drop_guard();
        Ok(Self { world, server, _stops_when_dropped: guard })
    }

    /// `http://127.0.0.1:PORT`, for clients and for the control API alike.
    pub fn url(&self) -> String {
        self.world.url.clone()
    }

    /// `http://127.0.0.1:PORT/c2c`, where clients find the CDN.
    pub fn cdn_url(&self) -> String {
        self.world.cdn_url()
    }

    /// What the control API does, without HTTP.
    pub fn control(&self) -> Control {
        Control { world: self.world.clone() }
    }

    /// Stops. Requests that are being held end without an answer, as if the server had died; afterwards the port is
    /// free.
    pub async fn stop(mut self) {
        self.world.shutdown.cancel();
        if tokio::time::timeout(STOP_GRACE, &mut self.server).await.is_err() {
            self.server.abort();
            // It was aborted; that it says so is no news.
            let _ = (&mut self.server).await;
        }
    }
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // So that a simulator can come back on its port while connections of its predecessor linger. On Windows the
    // option means something else, and is not needed.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG)
}

fn router(world: Arc<World>) -> Router {
    ilink::router(world.clone())
        .merge(control_http::router(world.clone()))
        .layer(from_fn_with_state(world, until_shutdown))
}

/// Cuts whatever is being answered when the simulator stops.
async fn until_shutdown(
    State(world): State<Arc<World>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
    next: Next,
) -> Response {
    tokio::select! {
        response = next.run(request) => response,
        () = world.shutdown.cancelled() => {
            connection.close();
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
