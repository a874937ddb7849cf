//! The `simulate` command.

use std::io::Write as _;

use super::config::SimulatorConfig;
use super::error::SimulatorError;
use super::server::Simulator;

/// Starts a simulator, prints `{"url":"http://127.0.0.1:PORT","cdnUrl":"http://127.0.0.1:PORT/c2c","secret":"…"}` as the only
/// line on stdout (the secret is for requests that name files), and runs until SIGINT or SIGTERM (elsewhere than on Unix: until Ctrl-C).
///
/// # Errors
/// When the port cannot be had, or when the process cannot print or wait for signals.
pub async fn run_cli(config: SimulatorConfig) -> Result<(), SimulatorError> {
    let simulator = Simulator::start(config).await?;
    // Before the line: who has read it may send the signal at once.
    let signal = Signals::install().map_err(SimulatorError::Signals)?;
    let line = serde_json::json!({ "url": simulator.url(), "cdnUrl": simulator.cdn_url(), "secret": simulator.control().secret() });
    {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(SimulatorError::Stdout)?;
    }
    signal.received().await.map_err(SimulatorError::Signals)?;
    let control = simulator.control();
    simulator.stop().await;
    // Not left to the last owner: a process may end without dropping what its tasks hold.
    control.world.cdn.remove();
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn received(mut self) -> std::io::Result<()> {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        Ok(())
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn received(self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
