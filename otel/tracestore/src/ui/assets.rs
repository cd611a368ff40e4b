//! The UI's files, compressed.

use std::io::{self, Read as _};

use flate2::read::GzDecoder;

include!(concat!(env!("OUT_DIR"), "/ui_assets.rs"));

/// One file of the UI.
pub(super) struct Asset {
    /// Below `static/`.
    pub(super) name: &'static str,
    pub(super) gzip: &'static [u8],
}

impl Asset {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| asset.name == name)
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("jpg" | "jpeg") => "image/jpeg",
            Some("ico") => "image/x-icon",
            Some("json" | "map") => "application/json",
            Some("wasm") => "application/wasm",
            Some("woff2") => "font/woff2",
            Some("woff") => "font/woff",
            None => "text/plain; charset=utf-8",
            Some(_) => "application/octet-stream",
        }
    }

    /// `name-HASH.ext`.
    pub(super) fn is_hashed(&self) -> bool {
        self.name
            .rsplit_once('.')
            .and_then(|(stem, _)| stem.rsplit_once('-'))
            .is_some_and(|(_, hash)| hash.len() >= 8)
    }

    /// For clients that take no gzip.
    pub(super) fn plain(&self) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        GzDecoder::new(self.gzip).read_to_end(&mut plain)?;
        Ok(plain)
    }
}
