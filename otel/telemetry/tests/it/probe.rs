//! Runs `telemetry-probe` as a process of its own.

use crate::receiver::Receiver;
use std::process::{Output, Stdio};

/// What is left of a probe that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn command(args: &[&str], env: &[(&str, &str)]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_telemetry-probe"));
    command.args(args).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a scenario against a receiver over `protocol`, with more settings.
pub(crate) async fn run(receiver: &Receiver, protocol: &str, args: &[&str], more: &[(&str, &str)]) -> Ended {
    let endpoint = format!("http://{}", receiver.address);
    let mut env =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
    env.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    env.extend_from_slice(more);
    ended(command(args, &env).output().await.unwrap())
}
