//! The iLink endpoints, all under `/ilink/bot/`; the CDN's are in `crate::cdn_http`, behind the same gate.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `gate` | what every request passes: it is recorded, and faults strike it |
//! | `call` | headers, token, body and `base_info` of a request, and the ways to refuse it |
//! | `login` | `get_bot_qrcode`, `get_qrcode_status` |
//! | `updates` | `getupdates` |
//! | `send` | `sendmessage` |
//! | `upload` | `getuploadurl` |
//! | `presence` | `getconfig`, `sendtyping`, `msg/notifystart`, `msg/notifystop` |

mod call;
mod gate;
mod login;
mod presence;
mod send;
mod updates;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};

use super::cdn_http;
use super::ledger::Rejected;
use super::world::World;
use call::Refuse;

/// The routes of iLink. What it does not have is refused and recorded.
pub(super) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/ilink/bot/get_bot_qrcode", post(login::new_qrcode).get(login::new_qrcode))
        .route("/ilink/bot/get_qrcode_status", get(login::status))
        .route("/ilink/bot/getupdates", post(updates::get))
        .route("/ilink/bot/sendmessage", post(send::message))
        .route("/ilink/bot/getconfig", post(presence::config))
        .route("/ilink/bot/sendtyping", post(presence::typing))
        .route("/ilink/bot/msg/notifystart", post(presence::start))
        .route("/ilink/bot/msg/notifystop", post(presence::stop))
        .route("/ilink/bot/getuploadurl", post(upload::url))
        .merge(cdn_http::router())
        .fallback(no_such_endpoint)
        .layer(from_fn_with_state(world.clone(), gate::pass))
        .with_state(world)
}

async fn no_such_endpoint(axum::extract::State(world): axum::extract::State<Arc<World>>, uri: Uri) -> Response {
    let rejected = Rejected::new(None, format!("no such endpoint: {}", uri.path()));
    Refuse::Http(404).answer(&world, rejected)
}
