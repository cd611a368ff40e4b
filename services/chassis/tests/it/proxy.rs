//! A line between two processes that can be cut without either noticing: bytes are simply not passed on any more.

// Two test binaries share this file, and neither uses all of it.
#![allow(dead_code, reason = "shared between test binaries")]

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
    sync::oneshot,
};

/// Passes everything on to one address until it is cut. It has a thread of its own, so that it outlives the test's runtime.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: Arc<AtomicBool>,
    _alive: oneshot::Sender<()>,
}

// === impl Proxy ===

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let (_alive, over) = oneshot::channel();
        let silent = cut.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, target, silent) => {}
                    _ = over => {}
                }
            });
        });
        Self { address, cut, _alive }
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

async fn accept(listener: TcpListener, target: SocketAddr, silent: Arc<AtomicBool>) {
    while let Ok((here, _)) = listener.accept().await {
        let silent = silent.clone();
        tokio::spawn(async move {
            wait(&silent).await;
            let Ok(there) = TcpStream::connect(target).await else { return };
            drop((here.set_nodelay(true), there.set_nodelay(true)));
            let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
            // Whoever hangs up first takes the other along.
            tokio::select! {
                () = pass(from_here, to_there, &silent) => {}
                () = pass(from_there, to_here, &silent) => {}
            }
        });
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
