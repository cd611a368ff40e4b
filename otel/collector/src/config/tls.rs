//! `tls` of what sends and of what listens (`configtls` upstream): certificates are read when the configuration is.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use super::section::Section;

/// How a client trusts and shows itself.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    /// Plain text was asked for.
    pub(crate) insecure: bool,
    /// Authorities in PEM; `None` stands for those of the system.
    pub(crate) authorities: Option<Vec<u8>>,
    /// Those of the system as well.
    pub(crate) system: bool,
    /// The own certificate chain and its key, in PEM.
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the server's certificate must bear, when it is not that of the endpoint.
    pub(crate) server_name: Option<String>,
}

/// Keys of `configtls` that change what a connection is worth and are not there.
const UNSUPPORTED: [&str; 6] =
    ["min_version", "max_version", "cipher_suites", "curve_preferences", "reload_interval", "tpm"];

// === impl ClientTls ===

impl ClientTls {
    /// Reads `tls` below `parent`.
    pub(crate) fn read(parent: &mut Section) -> Self {
        let mut section = parent.section_or_empty("tls");
        let insecure = section.flag("insecure", false);
        if section.flag("insecure_skip_verify", false) && !insecure {
            section.fault(
                "insecure_skip_verify",
                "is not supported by this collector: name the authority in ca_file",
            );
        }
        let read = Self {
            insecure,
            authorities: pem(&mut section, "ca"),
            system: section.flag("include_system_ca_certs_pool", false),
            identity: identity(&mut section),
            server_name: section.text("server_name_override"),
        };
        section.unsupported(&UNSUPPORTED);
        if !insecure && let Err(reason) = read.client() {
            section.fault("ca_file", reason);
        }
        section.finish();
        read
    }

    /// For a client that speaks HTTP/1.
    ///
    /// # Errors
    /// What is wrong with the certificates.
    pub(crate) fn client(&self) -> Result<rustls::ClientConfig, String> {
        let mut roots = match &self.authorities {
            Some(pem) => authorities(pem)?,
            None => RootCertStore::empty(),
        };
        if self.authorities.is_none() || self.system {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(text)?
            .with_root_certificates(roots);
        match &self.identity {
            Some((chain, key)) => {
                config.with_client_auth_cert(certificates(chain)?, private_key(key)?).map_err(text)
            }
            None => Ok(config.with_no_client_auth()),
        }
    }
}

/// Reads `tls` of a listener; `None` when it is not there, which is plain text.
pub(crate) fn server(parent: &mut Section) -> Option<Arc<rustls::ServerConfig>> {
    let mut section = parent.section("tls")?;
    let client_ca = pem_of(&mut section, "client_ca_file", None);
    let identity = identity(&mut section);
    section.unsupported(&UNSUPPORTED);
    section.unsupported(&["ca_file", "ca_pem", "include_system_ca_certs_pool", "client_ca_file_reload"]);
    let built = match identity {
        Some((chain, key)) => server_config(&chain, &key, client_ca.as_deref()),
        None => Err("and key_file are required".to_owned()),
    };
    let found = match built {
        Ok(config) => Some(Arc::new(config)),
        Err(reason) => {
            section.fault("cert_file", reason);
            None
        }
    };
    section.finish();
    found
}

fn server_config(chain: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<rustls::ServerConfig, String> {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(text)?;
    let builder = match client_ca {
        Some(pem) => {
            let roots = Arc::new(authorities(pem)?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(text)?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(certificates(chain)?, private_key(key)?).map_err(text)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn identity(section: &mut Section) -> Option<(Vec<u8>, Vec<u8>)> {
    match (pem(section, "cert"), pem(section, "key")) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        (Some(_), None) => {
            section.fault("key_file", "is required beside a certificate");
            None
        }
        (None, Some(_)) => {
            section.fault("cert_file", "is required beside a key");
            None
        }
    }
}

/// `<what>_file` or `<what>_pem`.
fn pem(section: &mut Section, what: &str) -> Option<Vec<u8>> {
    let text = section.text(&format!("{what}_pem"));
    pem_of(section, &format!("{what}_file"), text)
}

fn pem_of(section: &mut Section, key: &str, text: Option<String>) -> Option<Vec<u8>> {
    let file = section.text(key);
    if file.is_some() && text.is_some() {
        section.fault(key, "and the same as PEM are given, choose one");
    }
    let Some(path) = file else { return text.map(String::into_bytes) };
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            section.fault(key, format_args!("{path} cannot be read: {error}"));
            None
        }
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(text)?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(text)?;
    if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("the key: {error}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
