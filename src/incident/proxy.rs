//! A wire between two processes that can be cut, silenced, or made to change the messages that pass. The caller is told
//! the wire's address in place of its peer's; neither side knows of it.

mod messages;
mod stream;

use std::collections::BTreeMap;

use anyhow::Context;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use crate::fleet::Plan;

/// One wire: whose calls to whom go through it, and what it does to them.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// What faults call it, such as `tracking → notification`.
    pub(super) name: &'static str,
    /// The part that calls.
    pub(super) from: &'static str,
    /// The caller's variable that says where its peer is.
    pub(super) key: &'static str,
    /// The peer.
    pub(super) to: &'static str,
    /// What passes.
    pub(super) carries: Carries,
}

/// What passes on a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carries {
    /// Bytes, unread: gRPC and anything else.
    Bytes,
    /// HTTP/1.1 requests, changed on the way.
    Requests(Change),
}

/// What happens to a request on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is sent on twice; the caller gets the second reply.
    Twice,
    /// It loses these headers.
    Strip(&'static [&'static str]),
    /// Where the body holds `sign`, this happens to it.
    Poison { sign: String, how: Poison },
}

/// How a body is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poison {
    /// Its second half is lost.
    Cut,
    /// This text field of the JSON object becomes empty.
    Blank(&'static str),
}

/// Whether bytes pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They do.
    Open,
    /// Connections break, new ones too.
    Cut,
    /// Nothing breaks and nothing comes through, as when packets vanish.
    Silent,
}

/// All wires of a run. Dropped, they are gone.
#[derive(Debug)]
pub(super) struct Wires {
    laid: Vec<(Line, TcpListener)>,
    modes: BTreeMap<&'static str, watch::Sender<Mode>>,
    running: JoinSet<()>,
}

// === impl Wires ===

impl Wires {
    /// Takes a port for each wire.
    ///
    /// # Errors
    /// When there is no free port.
    pub(super) async fn lay(lines: &[Line]) -> anyhow::Result<Self> {
        let mut laid = Vec::new();
        for line in lines {
            let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for a wire")?;
            laid.push((line.clone(), listener));
        }
        Ok(Self { laid, modes: BTreeMap::new(), running: JoinSet::new() })
    }

    /// What the callers must be told: part, variable, URL.
    ///
    /// # Errors
    /// When a socket does not know its own address.
    pub(super) fn settings(&self) -> anyhow::Result<Vec<(&'static str, &'static str, String)>> {
        let told = |(line, listener): &(Line, TcpListener)| {
            Ok((line.from, line.key, format!("http://{}", listener.local_addr()?)))
        };
        self.laid.iter().map(told).collect()
    }

    /// Connects every wire with its peer.
    pub(super) fn connect(&mut self, plan: &Plan) {
        for (line, listener) in self.laid.drain(..) {
            let peer = format!("127.0.0.1:{}", plan.port(line.to, "http"));
            let _: AbortHandle = match line.carries {
                Carries::Bytes => {
                    let (mode, seen) = watch::channel(Mode::Open);
                    self.modes.insert(line.name, mode);
                    self.running.spawn(stream::carry(listener, peer, seen))
                }
                Carries::Requests(change) => {
                    self.running.spawn(messages::carry(listener, format!("http://{peer}"), change))
                }
            };
        }
    }

    /// Opens, cuts or silences a wire that carries bytes.
    ///
    /// # Errors
    /// When there is no such wire.
    pub(super) fn turn(&self, name: &str, mode: Mode) -> anyhow::Result<()> {
        let wire = self.modes.get(name).with_context(|| format!("no wire is called {name:?}"))?;
        wire.send_replace(mode);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_wire_that_is_cut_breaks_and_one_that_is_opened_again_carries() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = echo.local_addr().unwrap().to_string();
        let wire = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = wire.local_addr().unwrap();
        let (mode, seen) = watch::channel(Mode::Open);
        let mut tasks = JoinSet::new();
        tasks.spawn(stream::carry(wire, peer, seen));
        tasks.spawn(async move {
            loop {
                let (mut one, _) = echo.accept().await.unwrap();
                let mut word = [0; 4];
                if one.read_exact(&mut word).await.is_ok() {
                    one.write_all(&word).await.unwrap();
                }
                let _ = one.read(&mut word).await;
            }
        });
        let ask = || async move {
            let mut line = TcpStream::connect(at).await?;
            line.write_all(b"ping").await?;
            let mut word = [0; 4];
            line.read_exact(&mut word).await.map(|_| (line, word))
        };
        let (mut held, word) = ask().await.unwrap();
        assert_eq!(&word, b"ping");
        mode.send_replace(Mode::Cut);
        assert_eq!(held.read(&mut [0; 1]).await.unwrap_or(0), 0, "the standing connection ends");
        assert!(ask().await.is_err());
        mode.send_replace(Mode::Open);
        assert_eq!(&ask().await.unwrap().1, b"ping");
    }
}
