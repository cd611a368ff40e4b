//! A small volume: a tmpfs in a mount namespace of its own, in which a test is run again. It is as full as a real one is.

// Two test binaries share this file.
#![allow(clippy::print_stderr, reason = "shared between test binaries")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::engines::is_root;

const HERE: &str = "WAYBILL_TEST_SMALL_VOLUME";

/// Whoever gets a folder is to test on it, a volume of `megabytes`; who gets none is done: the test has run in a process of
/// its own and passed, or cannot be run here, which is said. `name` is the test's own full name.
pub(crate) fn volume(name: &str, megabytes: u32) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(HERE) {
        return Some(folder.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let within = |then: &str| {
        let mut command = Command::new("unshare");
        // Without root it takes a user namespace, in which no other user can be.
        command.args([if is_root() { "-m" } else { "-rm" }, "sh", "-c"]);
        let mount = format!("mount -t tmpfs -o size={megabytes}m none \"${HERE}\" && {then}");
        command.arg(mount).env(HERE, folder.path());
        command
    };
    if !within("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no tmpfs can be mounted here in a namespace of its own (unshare -m)");
        return None;
    }
    let binary = std::env::current_exe().unwrap();
    let outcome =
        within(&format!("exec '{}' --exact {name} --nocapture", binary.display())).output().unwrap();
    let said = [outcome.stdout, outcome.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(outcome.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{name} is not the test's name: {said}");
    None
}

/// Takes all that is left on the volume of `folder`; given back when the file is removed.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    let ballast = folder.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    let full = loop {
        if let Err(e) = io::Write::write_all(&mut file, &[7; 4096]) {
            break e;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    ballast
}
