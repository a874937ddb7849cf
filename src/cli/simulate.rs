//! `simulate`: the built-in iLink backend.

use std::process::ExitCode;
use std::time::Duration;

use super::args::SimulateArgs;
use ilink_simulator::{SimulatorConfig, run_cli};

/// Runs the simulator until it is ended.
pub async fn run(args: SimulateArgs) -> ExitCode {
    crate::process::raise_open_files();
    let config = SimulatorConfig {
        port: args.port,
        auto_login: args.auto_login,
        long_poll: Duration::from_millis(args.hold),
        strict: args.strict,
        min_version: args.min_version,
        ..SimulatorConfig::default()
    };
    match run_cli(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
