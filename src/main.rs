//! The binary; everything is in the library.

fn main() -> std::process::ExitCode {
    openclaw_weixin_sidecar::cli::run()
}
