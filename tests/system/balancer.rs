//! One address for the replicas of a service, as a Kubernetes Service is: each connection goes to one of them by lot, and one
//! that refuses is passed over.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rand::seq::SliceRandom;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// It has a thread of its own, so that it outlives the test's runtime.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
    _alive: oneshot::Sender<()>,
}

// === impl Balancer ===

impl Balancer {
    /// Without replicas yet: whoever connects is hung up on.
    pub(crate) fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let replicas = Arc::new(Mutex::new(Vec::new()));
        let (_alive, over) = oneshot::channel();
        let shared = replicas.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = over => {}
                }
            });
        });
        Self { address, replicas, _alive }
    }

    /// Connections go to `replica`, too, from now on. `url` is its base URL.
    pub(crate) fn add(&self, url: &str) {
        let address = url.trim_start_matches("http://").parse().unwrap();
        self.replicas.lock().unwrap().push(address);
    }
}

async fn accept(listener: TcpListener, replicas: Arc<Mutex<Vec<SocketAddr>>>) {
    while let Ok((mut here, _)) = listener.accept().await {
        let mut order = replicas.lock().unwrap().clone();
        order.shuffle(&mut rand::rng());
        tokio::spawn(async move {
            for replica in order {
                let Ok(mut there) = TcpStream::connect(replica).await else { continue };
                drop((here.set_nodelay(true), there.set_nodelay(true)));
                drop(copy_bidirectional(&mut here, &mut there).await);
                return;
            }
        });
    }
}
