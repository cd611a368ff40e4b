//! Certificates for tests, made anew for each.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority, and a certificate of `localhost` with its key, as files.
#[derive(Debug)]
pub(crate) struct Papers {
    folder: tempfile::TempDir,
    /// Its certificate, PEM.
    pub(crate) authority: String,
}

impl Papers {
    /// A new authority of the name that all here have.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in
            [("ca.pem", &authority), ("own.pem", &own.pem()), ("own.key", &key.serialize_pem())]
        {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        Self { folder, authority }
    }

    /// `ca.pem`, `own.pem` or `own.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
