//! Bytes from one end of a wire to the other.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::Mode;

/// Carries every connection that `listener` gets to `peer` (`host:port`), for as long as `mode` lets it.
pub(super) async fn carry(listener: TcpListener, peer: String, mode: watch::Receiver<Mode>) {
    let mut lines = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted {
                    lines.spawn(one(near, peer.clone(), mode.clone()));
                }
            }
            _ = lines.join_next(), if !lines.is_empty() => {}
        }
    }
}

/// One connection; it ends when a side closes it, or the wire is cut, or was silent for a while.
async fn one(mut near: TcpStream, peer: String, mut mode: watch::Receiver<Mode>) {
    let now = *mode.borrow_and_update();
    match now {
        Mode::Cut => {}
        Mode::Silent => after_silence(&mut mode).await,
        Mode::Open => {
            let Ok(mut far) = TcpStream::connect(peer).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let broken = tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => false,
                _ = mode.wait_for(|m| *m != Mode::Open) => true,
            };
            if broken {
                after_silence(&mut mode).await;
            }
        }
    }
}

async fn after_silence(mode: &mut watch::Receiver<Mode>) {
    drop(mode.wait_for(|m| *m != Mode::Silent).await);
}
