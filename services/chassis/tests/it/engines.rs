//! Real PostgreSQL and NATS servers for tests: on free ports, in folders of their own, gone with the test's process.
//!
//! `POSTGRES_BIN` names the folder of PostgreSQL's programs and `NATS_SERVER` the NATS server; without them `PATH` and
//! Debian's folder are searched. Where there is none, `start` says so and gives `None`.

// Two test binaries share this file, and neither uses all of it.
#![allow(dead_code, clippy::print_stderr, reason = "shared between test binaries")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A PostgreSQL server.
pub(crate) struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Server>,
}

/// A NATS server with JetStream.
pub(crate) struct Nats {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Server>,
}

/// A process that ends when the test's process does: a shell waits at its lifeline.
struct Server(Child);

// === impl Postgres ===

impl Postgres {
    /// A new server with an empty cluster.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = postgres_bin() else {
            eprintln!("SKIPPED on PostgreSQL: no initdb in POSTGRES_BIN, on PATH or in /usr/lib/postgresql");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("waybill-pg-").tempdir().unwrap();
        if is_root() {
            // PostgreSQL refuses to run as root.
            assert!(Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap().success());
        }
        let mut this = Self { bin, folder, port: free_port(), server: None };
        let data = this.data();
        let made = this
            .program("initdb")
            .args(["-A", "trust", "-U", "waybill", "-E", "UTF8", "--no-sync", "-D"])
            .arg(data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this.run();
        Some(this)
    }

    /// Starts the server, again if it was killed, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        // A kill is survived without it; a power cut is not what is tested.
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200", "log_min_messages=fatal"]
        {
            command.args(["-c", setting]);
        }
        self.server = Some(Server::of(command, self.folder.path(), "QUIT"));
        let answers = |this: &Self| {
            let mut ready = this.program("pg_isready");
            ready.args(["-h", "127.0.0.1", "-U", "waybill", "-d", "postgres", "-p", &this.port.to_string()]);
            ready.stdout(Stdio::null());
            ready.status().unwrap().success()
        };
        patiently("PostgreSQL answers", || answers(self));
    }

    /// Ends it as a crash does: no checkpoint, all sessions cut.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// A new, empty database.
    pub(crate) fn create(&self, name: &str) -> String {
        let mut create = self.program("createdb");
        create.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "waybill", name]);
        let made = create.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(name)
    }

    /// URL of a database.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://waybill:not-asked-for@127.0.0.1:{}/{name}", self.port)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let path = self.bin.join(name);
        if !is_root() {
            return Command::new(path);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path).current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server = None;
    }
}

// === impl Nats ===

impl Nats {
    /// A new server with an empty store.
    pub(crate) fn start() -> Option<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// With its store below `folder`.
    pub(crate) fn start_in(folder: &Path) -> Option<Self> {
        let Some(program) = nats_server() else {
            eprintln!("SKIPPED on NATS: no nats-server in NATS_SERVER or on PATH");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("waybill-nats-").tempdir_in(folder).unwrap();
        let mut this = Self { program, folder, port: free_port(), server: None };
        this.run();
        Some(this)
    }

    /// Starts the server, again if it was killed, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"]);
        command.arg(self.folder.path());
        self.server = Some(Server::of(command, self.folder.path(), "KILL"));
        patiently("NATS answers", || greets(self.address()));
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.server = None;
    }

    /// For `NATS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

// === impl Server ===

impl Server {
    /// The shell ends the server with `signal` when its stdin closes: by us, or with us. Then nobody is left to remove the
    /// folder, and the shell does it.
    fn of(command: Command, folder: &Path, signal: &str) -> Self {
        let script = format!(
            "f=$1; shift; \"$@\" </dev/null & p=$!; w=$(cat); kill -{signal} $p; wait $p; [ -n \"$w\" ] || rm -rf \"$f\""
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(folder).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        let child = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut lifeline) = self.0.stdin.take() {
            drop(lifeline.write_all(b"keep the folder"));
        }
        drop(self.0.wait());
    }
}

fn postgres_bin() -> Option<PathBuf> {
    let needed = ["initdb", "postgres", "createdb", "pg_isready"];
    let has = |folder: &PathBuf| needed.iter().all(|name| folder.join(name).is_file());
    let given = std::env::var_os("POSTGRES_BIN").map(PathBuf::from);
    let mut debian: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    debian.sort();
    given.into_iter().chain(on_path()).chain(debian.into_iter().rev()).find(has)
}

fn nats_server() -> Option<PathBuf> {
    let given = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    given.into_iter().chain(on_path().map(|folder| folder.join("nats-server"))).find(|p| p.is_file())
}

fn on_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A NATS server says `INFO` to whoever connects.
fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).is_ok() && &word == b"INFO"
}

fn patiently(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
