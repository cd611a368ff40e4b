//! A line between two processes that can be cut without either noticing: bytes are simply not passed on any more.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Passes everything on to one address until it is cut.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: Arc<AtomicBool>,
    accepting: tokio::task::JoinHandle<()>,
}

// === impl Proxy ===

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let silent = cut.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let silent = silent.clone();
                tokio::spawn(async move {
                    wait(&silent).await;
                    let Ok(there) = TcpStream::connect(target).await else { return };
                    let ((from_here, to_here), (from_there, to_there)) =
                        (here.into_split(), there.into_split());
                    tokio::join!(pass(from_here, to_there, &silent), pass(from_there, to_here, &silent));
                });
            }
        });
        Self { address, cut, accepting }
    }

    /// From now on nothing arrives, and nobody is told.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// What was held back arrives.
    pub(crate) fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn wait(cut: &AtomicBool) {
    while cut.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: &AtomicBool) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        wait(cut).await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
