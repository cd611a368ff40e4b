//! A line between two processes that can be cut without either noticing: bytes are simply not passed on any more; or at
//! whose other end nobody is any more.

// Two test binaries share this file, and neither uses all of it.
#![allow(dead_code, reason = "shared between test binaries")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
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
    state: Arc<State>,
    _alive: oneshot::Sender<()>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    gone: AtomicBool,
    /// How often lines were stranded: those of an earlier era are.
    era: AtomicU32,
}

// === impl Proxy ===

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (_alive, over) = oneshot::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, target, shared) => {}
                    _ = over => {}
                }
            });
        });
        Self { address, state, _alive }
    }

    /// From now on nothing arrives, and nobody is told.
    pub(crate) fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
    }

    /// From now on whoever connects is hung up on, and so is whoever is connected: the server is gone.
    pub(crate) fn hang_up(&self) {
        self.state.gone.store(true, Ordering::SeqCst);
    }

    /// What was held back arrives, and the server is there again.
    pub(crate) fn mend(&self) {
        self.state.cut.store(false, Ordering::SeqCst);
        self.state.gone.store(false, Ordering::SeqCst);
    }

    /// Nothing ever arrives on a line that there is now, as behind a router that has forgotten it; new ones are as any.
    pub(crate) fn strand(&self) {
        self.state.era.fetch_add(1, Ordering::SeqCst);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: Arc<State>) {
    while let Ok((here, _)) = listener.accept().await {
        if state.gone.load(Ordering::SeqCst) {
            continue;
        }
        let (state, era) = (state.clone(), state.era.load(Ordering::SeqCst));
        tokio::spawn(async move {
            state.open(era).await;
            let Ok(there) = TcpStream::connect(target).await else { return };
            drop((here.set_nodelay(true), there.set_nodelay(true)));
            let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
            // Whoever hangs up first takes the other along.
            tokio::select! {
                () = pass(from_here, to_there, &state, era) => {}
                () = pass(from_there, to_here, &state, era) => {}
                () = state.gone() => {}
            }
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, era: u32) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        state.open(era).await;
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

// === impl State ===

impl State {
    /// Waits until the server is gone.
    async fn gone(&self) {
        while !self.gone.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until something may pass on a line of that era.
    async fn open(&self, era: u32) {
        while self.cut.load(Ordering::SeqCst) || self.era.load(Ordering::SeqCst) != era {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
