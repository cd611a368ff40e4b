//! Content encodings, with the size limit on what comes out.

use bytes::Bytes;
use std::io::{self, Read};

use super::body::Share;
use super::fault::Fault;

/// How a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Decompressed on the spot up to this many compressed bytes.
const INLINE: usize = 64 << 10;
/// Window of a zstd stream, as a power of two: 8 MiB, what RFC 8878 asks decoders to support.
const ZSTD_WINDOW: u32 = 23;

// === impl Encoding ===

impl Encoding {
    /// By its name in `content-encoding` or `grpc-encoding`; none when unknown.
    pub(super) fn named(name: Option<&str>) -> Option<Self> {
        match name.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Some(Self::Identity),
            Some("gzip") => Some(Self::Gzip),
            Some("zstd") => Some(Self::Zstd),
            Some(_) => None,
        }
    }

    /// The message, at most `most` bytes of it.
    pub(super) async fn decode(self, packed: Bytes, most: usize, share: &mut Share) -> Result<Bytes, Fault> {
        if self == Self::Identity {
            return Ok(packed);
        }
        let small = packed.len() <= INLINE;
        let unpack = move || self.unpack(&packed, most);
        let message = if small {
            unpack()
        } else {
            tokio::task::spawn_blocking(unpack)
                .await
                .map_err(|_| Fault::busy("the process is shutting down"))?
        }?;
        share.grow(message.len())?;
        Ok(message)
    }

    fn unpack(self, packed: &[u8], most: usize) -> Result<Bytes, Fault> {
        let limit = most as u64 + 1;
        let mut out = Vec::with_capacity((packed.len() * 4).min(most));
        let read = match self {
            Self::Identity => return Ok(Bytes::copy_from_slice(packed)),
            Self::Gzip => flate2::read::MultiGzDecoder::new(packed).take(limit).read_to_end(&mut out),
            Self::Zstd => zstd_reader(packed).and_then(|reader| reader.take(limit).read_to_end(&mut out)),
        };
        read.map_err(|error| Fault::malformed(format!("the message does not decompress: {error}")))?;
        if out.len() > most { Err(Fault::too_large(most)) } else { Ok(out.into()) }
    }
}

fn zstd_reader(packed: &[u8]) -> io::Result<impl Read + use<'_>> {
    let mut reader = zstd::stream::read::Decoder::with_buffer(packed)?;
    reader.window_log_max(ZSTD_WINDOW)?;
    Ok(reader)
}
