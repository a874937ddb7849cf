//! A file as the body of an answer.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use super::SpoolFile;

/// What is read at once.
const CHUNK: u64 = 64 * 1024;

/// A slow body comes in this many pieces per second.
const BEATS: u64 = 10;

/// A file on its way out, which is kept until it is there.
struct Reading {
    file: File,
    left: u64,
    /// Bytes per second.
    pace: Option<NonZeroU64>,
    shutdown: CancellationToken,
    _owner: Arc<SpoolFile>,
}

/// The first `size` bytes of a file as a body, at most `pace` of them a second. It breaks off when `shutdown` is
/// cancelled; `owner` lives as long as the body does.
pub(crate) fn of_file(
    owner: Arc<SpoolFile>,
    file: std::fs::File,
    size: u64,
    pace: Option<NonZeroU64>,
    shutdown: CancellationToken,
) -> Body {
    let reading = Reading { file: File::from_std(file), left: size, pace, shutdown, _owner: owner };
    Body::from_stream(stream::try_unfold(reading, next))
}

async fn next(mut reading: Reading) -> io::Result<Option<(Bytes, Reading)>> {
    if reading.left == 0 {
        return Ok(None);
    }
    let most = reading.pace.map_or(CHUNK, |pace| (pace.get() / BEATS).clamp(1, CHUNK)).min(reading.left);
    // `most` is at most CHUNK, so it is a usize.
    let mut buffer = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
    let turn = async {
        if let Some(pace) = reading.pace {
            tokio::time::sleep(Duration::from_secs(1).mul_f64(most as f64 / pace.get() as f64)).await;
        }
        (&mut reading.file).take(most).read_to_end(&mut buffer).await
    };
    let read = tokio::select! {
        read = turn => read?,
        () = reading.shutdown.cancelled() => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    reading.left -= read as u64;
    Ok(Some((buffer.into(), reading)))
}
