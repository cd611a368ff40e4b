//! The write-ahead log: one file per head, one record per accepted request, checksummed and compressed.
//!
//! File: 8 bytes magic, the head's number (u64 LE), then records. Record: `WBR1`, stored length, raw length (u32 LE),
//! arrival (u64 LE, Unix ns), CRC-32 of the stored bytes, CRC-32 of the 24 bytes before, then the request, LZ4 block
//! format unless that would not shrink it (stored length = raw length then).

use bytes::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const FILE_MAGIC: &[u8; 8] = b"WBWAL1\0\0";
const RECORD_MAGIC: &[u8; 4] = b"WBR1";
const FILE_HEADER: usize = 16;
const RECORD_HEADER: usize = 28;

/// The largest request that a record may hold.
pub(crate) const MAX_RECORD: usize = 256 << 20;

/// A log file that is being written.
#[derive(Debug)]
pub(crate) struct Wal {
    file: File,
    path: PathBuf,
    /// Bytes that are whole records. What lies beyond is a failed write and is overwritten.
    len: u64,
}

/// What replaying found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Records given on.
    pub(crate) records: usize,
    /// Where the last whole record ends.
    pub(crate) good: u64,
    /// Bytes after it, to be cut.
    pub(crate) torn: u64,
    /// Bytes skipped before it because their checksums do not hold.
    pub(crate) corrupt: u64,
}

// === impl Wal ===

impl Wal {
    /// The file of head `number` in `dir`.
    pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("wal-{number:012}.log"))
    }

    /// The head number in a file's name.
    pub(crate) fn number_in(name: &str) -> Option<u64> {
        name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok()
    }

    /// Starts a new file and makes its name durable.
    pub(crate) fn create(dir: &Path, number: u64) -> io::Result<Self> {
        let path = Self::path_of(dir, number);
        let file = OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&path)?;
        let mut header = FILE_MAGIC.to_vec();
        header.extend(number.to_le_bytes());
        let made = file.write_all_at(&header, 0).and_then(|()| file.sync_data()).and_then(|()| sync_dir(dir));
        if let Err(error) = made {
            // A leftover without a header would be taken for a corrupt file on the next start.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self { file, path, len: FILE_HEADER as u64 })
    }

    /// Whether the process ended while the file was being made. It holds nothing then.
    pub(crate) fn is_stillborn(path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.len() < FILE_HEADER as u64)
    }

    /// Goes on with a file after its last whole record.
    pub(crate) fn resume(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).read(true).open(path)?;
        file.set_len(len)?;
        file.sync_data()?;
        Ok(Self { file, path: path.to_owned(), len })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes records; on failure the file is as before.
    pub(crate) fn append(&mut self, records: &[Vec<u8>], sync: bool) -> io::Result<()> {
        let mut at = self.len;
        let mut write = || {
            for record in records {
                self.file.write_all_at(record, at)?;
                at += record.len() as u64;
            }
            if sync { self.file.sync_data() } else { Ok(()) }
        };
        if let Err(error) = write() {
            // Not acknowledged, so it must not come back on replay either. If even this fails, the next
            // append overwrites it: records are written at `len`.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len = at;
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Encodes a request as a record.
pub(crate) fn record(raw: &[u8], arrived: u64) -> Vec<u8> {
    let mut out = vec![0; RECORD_HEADER + lz4_flex::block::get_maximum_output_size(raw.len())];
    let (header, body) = out.split_at_mut(RECORD_HEADER);
    let stored = match lz4_flex::block::compress_into(raw, body) {
        Ok(len) if len < raw.len() => len,
        _ => {
            body[..raw.len()].copy_from_slice(raw);
            raw.len()
        }
    };
    header[..4].copy_from_slice(RECORD_MAGIC);
    header[4..8].copy_from_slice(&(stored as u32).to_le_bytes());
    header[8..12].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    header[12..20].copy_from_slice(&arrived.to_le_bytes());
    header[20..24].copy_from_slice(&crc32fast::hash(&body[..stored]).to_le_bytes());
    let check = crc32fast::hash(&header[..24]);
    header[24..28].copy_from_slice(&check.to_le_bytes());
    out.truncate(RECORD_HEADER + stored);
    out
}

/// Reads a file from its start, giving each whole record (request, arrival) to `each`.
///
/// A bad record in the middle is skipped, by its length where its header holds, else by looking for the next record.
/// A bad end is a torn write: nothing after the last whole record counts.
///
/// # Errors
/// When the file cannot be read, or does not begin as a log.
pub(crate) fn replay(path: &Path, mut each: impl FnMut(Bytes, u64)) -> io::Result<Replayed> {
    let content = fs::read(path)?;
    if content.len() < FILE_HEADER || !content.starts_with(FILE_MAGIC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a write-ahead log"));
    }
    let mut found = Replayed { good: FILE_HEADER as u64, ..Replayed::default() };
    let mut at = FILE_HEADER;
    while at < content.len() {
        match whole_record(&content, at) {
            Some((request, arrived, end)) => {
                found.corrupt += at as u64 - found.good;
                found.records += 1;
                found.good = end as u64;
                at = end;
                each(request, arrived);
            }
            None => at = next_candidate(&content, at),
        }
    }
    found.torn = content.len() as u64 - found.good;
    Ok(found)
}

fn whole_record(content: &[u8], at: usize) -> Option<(Bytes, u64, usize)> {
    let (stored, raw, arrived, crc) = header_at(content, at)?;
    let end = at + RECORD_HEADER + stored;
    let body = content.get(at + RECORD_HEADER..end)?;
    if crc32fast::hash(body) != crc {
        return None;
    }
    let request = if stored == raw {
        Bytes::copy_from_slice(body)
    } else {
        let mut out = vec![0; raw];
        (lz4_flex::block::decompress_into(body, &mut out).ok()? == raw).then(|| Bytes::from(out))?
    };
    Some((request, arrived, end))
}

fn header_at(content: &[u8], at: usize) -> Option<(usize, usize, u64, u32)> {
    let header: &[u8; RECORD_HEADER] = content.get(at..at + RECORD_HEADER)?.try_into().ok()?;
    let word = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
    if !header.starts_with(RECORD_MAGIC) || crc32fast::hash(&header[..24]) != word(24) {
        return None;
    }
    let (stored, raw) = (word(4) as usize, word(8) as usize);
    let arrived = u64::from(word(12)) | u64::from(word(16)) << 32;
    (stored <= raw && raw <= MAX_RECORD).then_some((stored, raw, arrived, word(20)))
}

/// Where to go on after a bad record.
fn next_candidate(content: &[u8], at: usize) -> usize {
    if let Some((stored, ..)) = header_at(content, at) {
        let end = at + RECORD_HEADER + stored;
        if end < content.len() {
            return end;
        }
    }
    let rest = content.get(at + 1..).unwrap_or_default();
    rest.windows(RECORD_MAGIC.len()).position(|w| w == RECORD_MAGIC).map_or(content.len(), |i| at + 1 + i)
}

/// Makes created, renamed and removed names durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(dir: &Path) -> (PathBuf, Vec<Bytes>, Vec<u64>) {
        let mut wal = Wal::create(dir, 7).unwrap();
        let requests: Vec<Bytes> =
            (0_u8..5).map(|i| std::iter::repeat_n(i, 100 + usize::from(i)).collect::<Bytes>()).collect();
        let mut ends = Vec::new();
        for request in &requests {
            wal.append(&[record(request, 42)], true).unwrap();
            ends.push(wal.len);
        }
        (wal.path().to_owned(), requests, ends)
    }

    fn read(path: &Path) -> (Vec<Bytes>, Replayed) {
        let mut got = Vec::new();
        let found = replay(path, |request, arrived| {
            assert_eq!(arrived, 42);
            got.push(request);
        });
        (got, found.unwrap())
    }

    #[test]
    fn a_log_cut_at_any_byte_gives_back_every_record_before_the_cut() {
        let dir = tempfile::tempdir().unwrap();
        let (path, requests, ends) = filled(dir.path());
        let whole = fs::read(&path).unwrap();
        for cut in FILE_HEADER..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (got, found) = read(&path);
            let expected = ends.iter().filter(|&&end| end <= cut as u64).count();
            assert_eq!(got, requests[..expected], "cut at {cut}");
            assert_eq!(found.good + found.torn, cut as u64);
            assert_eq!(found.corrupt, 0);
        }
    }

    #[test]
    fn a_flipped_byte_loses_its_own_record_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (path, requests, ends) = filled(dir.path());
        let whole = fs::read(&path).unwrap();
        for at in FILE_HEADER..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            let hit = ends.iter().filter(|&&end| end <= at as u64).count();
            let mut expected = requests.clone();
            expected.remove(hit);
            assert_eq!(read(&path).0, expected, "flipped at {at}");
        }
    }
}
