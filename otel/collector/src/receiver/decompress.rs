//! Decompression with a ceiling: a bomb costs at most the limit, however small it came.

use std::io::{self, Read};

use bytes::Bytes;

/// Encodings of a body (`Content-Encoding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
    Deflate,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecompressError {
    #[error("the decompressed body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body is not valid {0}")]
    Corrupt(&'static str),
}

/// The most memory that a zstd frame may ask for as its window: 8 MiB, what decoders have to support by RFC 8878.
const ZSTD_WINDOW_LOG: u32 = 23;

// === impl Encoding ===

impl Encoding {
    /// By the header's value; `None` for one that is not known, and for several at once.
    pub(crate) fn from_header(value: Option<&str>) -> Option<Self> {
        match value.map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity" | "none") => Some(Self::Identity),
            Some("gzip") => Some(Self::Gzip),
            Some("zstd") => Some(Self::Zstd),
            Some("deflate" | "zlib") => Some(Self::Deflate),
            Some(_) => None,
        }
    }

    /// Decompresses `body` to at most `limit` bytes.
    pub(crate) fn decompress(self, body: Bytes, limit: usize) -> Result<Bytes, DecompressError> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(&body[..]), &body, limit, "gzip"),
            Self::Deflate => read(flate2::read::ZlibDecoder::new(&body[..]), &body, limit, "deflate"),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&body[..])
                    .map_err(|_| DecompressError::Corrupt("zstd"))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| DecompressError::Corrupt("zstd"))?;
                read(decoder, &body, limit, "zstd")
            }
        }
    }
}

fn read(decoder: impl Read, body: &[u8], limit: usize, name: &'static str) -> Result<Bytes, DecompressError> {
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(limit).min(1 << 20));
    let ceiling = (limit as u64).saturating_add(1);
    let read: io::Result<usize> = decoder.take(ceiling).read_to_end(&mut out);
    read.map_err(|_| DecompressError::Corrupt(name))?;
    if out.len() > limit {
        return Err(DecompressError::TooLarge(limit));
    }
    Ok(out.into())
}
