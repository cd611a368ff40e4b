//! A trace store behind TLS with a private authority: trusted where it is named, and said what is wrong where it is not.

use std::{path::PathBuf, process::Command, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{
    customer::{Customer, SUSHI},
    harness::{Ended, eventually, run, shared, waybill},
};

/// What decides who is trusted; none may come from the developer's shell.
const TRUST: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// An authority as a file, and a server's certificate for `localhost`.
struct Papers {
    folder: TempDir,
    server: Arc<rustls::ServerConfig>,
}

impl Papers {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        Self { folder, server: Arc::new(server) }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Takes TLS off what is meant for the store at `upstream`, as an ingress does; its port.
async fn ingress(papers: &Papers, upstream: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(papers.server.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut store = TcpStream::connect(&upstream).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut store).await;
            });
        }
    });
    port
}

fn asked(id: &str, url: &str) -> Command {
    let mut command = waybill(["where", id, "--json", "--jaeger", url]);
    for name in TRUST {
        command.env_remove(name);
    }
    command
}

async fn trusting(id: &str, url: &str, authority: &std::path::Path) -> Ended {
    let mut command = asked(id, url);
    command.arg("--ca-file").arg(authority);
    run(command).await
}

#[tokio::test]
async fn a_store_behind_a_private_authority_is_asked_when_that_is_named_and_else_said_not_to_be_trusted() {
    let fleet = shared().await;
    let customer = Customer::of(fleet).await;
    let order = customer.order(SUSHI).await;
    customer.until(&order.id, "delivered").await;
    let (papers, others) = (Papers::new("ours"), Papers::new("of others"));
    let store = fleet.url("tracestore", "http").replace("http://", "");
    let port = ingress(&papers, store).await;
    let url = format!("https://localhost:{port}");

    eventually("it arrived, asked through TLS", async || {
        let ended = trusting(&order.id, &url, &papers.authority()).await;
        let told = ended.status.code() == Some(0) && ended.stdout.contains(&order.trace_id);
        if told { Ok(()) } else { Err(format!("{}{}", ended.stdout, ended.stderr)) }
    })
    .await;
    for variable in ["WAYBILL_JAEGER_CA_FILE", "SSL_CERT_FILE"] {
        let mut command = asked(&order.id, &url);
        command.env(variable, papers.authority());
        let ended = run(command).await;
        assert_eq!(ended.status.code(), Some(0), "{variable}: {}", ended.stderr);
    }

    let by_address = format!("https://127.0.0.1:{port}");
    for (ended, why) in [
        (run(asked(&order.id, &url)).await, "UnknownIssuer"),
        (trusting(&order.id, &url, &others.authority()).await, "UnknownIssuer"),
        (trusting(&order.id, &by_address, &papers.authority()).await, "localhost"),
    ] {
        let said = &ended.stderr;
        assert_eq!((ended.status.code(), said.lines().count()), (Some(4), 1), "{said}");
        for word in [why, "certificate", "--ca-file", "https://"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }

    let empty = papers.folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for file in [empty, papers.folder.path().join("missing.pem")] {
        let ended = trusting(&order.id, &url, &file).await;
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("--ca-file") && ended.stderr.contains(".pem"), "{}", ended.stderr);
    }
}
