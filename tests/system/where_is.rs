//! `waybill where`: from whatever id someone holds to one verdict, on the embedded store and on a real Jaeger.

mod forms;
pub(crate) mod real_jaeger;
mod secure;
mod stores;
mod stubs;
mod verdicts;

use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Ended, Fleet, LIMIT, waybill};

/// Runs `waybill where` at a running fleet.
async fn ask(fleet: &Fleet, arguments: &[&str]) -> Ended {
    let endpoints = fleet.data().join("endpoints.json");
    let mut all = vec!["--endpoints", endpoints.to_str().unwrap()];
    all.extend(arguments);
    plainly(&all, "").await
}

/// Runs `waybill where` with `stdin`; nothing of a running fleet is told to it.
pub(crate) async fn plainly(arguments: &[&str], stdin: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("stdin");
    std::fs::write(&input, stdin).unwrap();
    let mut command = waybill(["where"]);
    // Away from the repository: a fleet that a developer runs there is none of ours.
    command.args(arguments).current_dir(folder.path()).env("LANG", "C.UTF-8").env_remove("LC_ALL");
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::from(std::fs::File::open(&input).unwrap())).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT * 2, command.output()).await.expect("it ends").unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The objects of `--json`, each as the schema describes it.
pub(crate) fn objects(ended: &Ended) -> Vec<Value> {
    let schema =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/where.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let wrong: Vec<_> =
            schema.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{value:#}");
        value
    };
    ended.stdout.lines().map(read).collect()
}
