//! A segment: a file of requests that is only ever appended to, and beside it a file of the numbers of those that are
//! settled. A segment whose requests are all settled is deleted, so that a queue that keeps up holds one small file.
//!
//! `NNNNNNNNNNNNNNNN.segment`: magic, then records: length (u32), CRC-32 (u32) of what follows, items (u32), payload; all little-endian.
//! `NNNNNNNNNNNNNNNN.settled`: record numbers (u32), in the order in which they were settled.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

const MAGIC: &[u8; 8] = b"WBQUEUE1";
const HEADER: u64 = 12;

/// A segment open for appending, reading or both.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    settled_file: Option<File>,
    /// Bytes of whole numbers in it.
    settled_end: u64,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Records in it.
    pub(crate) records: u32,
    /// Records that are not settled.
    pub(crate) open: u32,
}

/// A record that was found when a segment was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) record: u32,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) items: u32,
}

// === impl Segment ===

impl Segment {
    /// Starts an empty segment.
    pub(crate) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(format!("{number:016x}.segment"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        if let Err(error) = file.write_all_at(MAGIC, 0) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self {
            path,
            file,
            settled_file: None,
            settled_end: 0,
            end: MAGIC.len() as u64,
            records: 0,
            open: 0,
        })
    }

    /// Opens a segment from before: cuts a torn end, sets damaged records aside, leaves out what is settled.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Found>)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        if file.read_exact_at(&mut magic, 0).is_err() || &magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a queue segment"));
        }
        let mut segment = Self {
            path: path.to_owned(),
            file,
            settled_file: None,
            settled_end: 0,
            end: MAGIC.len() as u64,
            records: 0,
            open: 0,
        };
        let settled = segment.read_settled()?;
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        while let Some((next, sound)) = segment.read_record(size)? {
            let open = !settled.contains(&next.record);
            if open && sound {
                found.push(next);
            } else if open {
                segment.set_aside(&next)?;
                damaged.push(next.record);
            }
            segment.end = next.offset + u64::from(next.length);
            segment.records += 1;
        }
        if segment.end < size {
            tracing::warn!(file = %path.display(), bytes = size - segment.end, "cut a torn end off a queue file");
            segment.file.set_len(segment.end)?;
        }
        segment.settle(&damaged)?;
        segment.open = u32::try_from(found.len()).unwrap_or(u32::MAX);
        Ok((segment, found))
    }

    /// Appends a record; on failure the file is as it was before.
    pub(crate) fn append(&mut self, items: u32, parts: &[Bytes]) -> io::Result<Found> {
        let length = parts.iter().map(Bytes::len).sum::<usize>();
        let length = u32::try_from(length).map_err(|_| io::Error::other("a request of 4 GiB or more"))?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&items.to_le_bytes());
        parts.iter().for_each(|part| crc.update(part));
        let mut head = [0; HEADER as usize];
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
        head[8..].copy_from_slice(&items.to_le_bytes());
        if let Err(error) = self.write(&head, parts) {
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        let found = Found { record: self.records, offset: self.end + HEADER, length, items };
        self.end = found.offset + u64::from(length);
        self.records += 1;
        self.open += 1;
        Ok(found)
    }

    /// Takes the last record back, when it could not be made durable.
    pub(crate) fn undo(&mut self, last: &Found) {
        self.end = last.offset - HEADER;
        self.records -= 1;
        self.open -= 1;
        let _ = self.file.set_len(self.end);
    }

    /// Forces what was appended onto the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Another handle of the file, for reading.
    pub(crate) fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Notes records as settled.
    pub(crate) fn settle(&mut self, records: &[u32]) -> io::Result<()> {
        self.open = self.open.saturating_sub(u32::try_from(records.len()).unwrap_or(u32::MAX));
        let numbers: Vec<u8> = records.iter().flat_map(|record| record.to_le_bytes()).collect();
        let file = match &self.settled_file {
            Some(file) => file,
            None => {
                let path = self.path.with_extension("settled");
                self.settled_file
                    .insert(OpenOptions::new().write(true).create(true).truncate(false).open(path)?)
            }
        };
        // Written at a place of our own choosing, so that a write that failed halfway is written over by the next.
        file.write_all_at(&numbers, self.settled_end)?;
        self.settled_end += numbers.len() as u64;
        Ok(())
    }

    /// Deletes the segment: first the records, so that a crash in between cannot bring settled ones back.
    pub(crate) fn delete(self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        match fs::remove_file(self.path.with_extension("settled")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write(&mut self, head: &[u8], parts: &[Bytes]) -> io::Result<()> {
        use std::io::Seek;
        self.file.seek(io::SeekFrom::Start(self.end))?;
        let mut slices: Vec<IoSlice<'_>> =
            std::iter::once(head).chain(parts.iter().map(AsRef::as_ref)).map(IoSlice::new).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            // The kernel takes 1,024 pieces at a time.
            let take = left.len().min(1024);
            match self.file.write_vectored(&left[..take]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The record at `end`, and whether its checksum holds; `None` where no whole record follows.
    fn read_record(&self, size: u64) -> io::Result<Option<(Found, bool)>> {
        if size.saturating_sub(self.end) < HEADER {
            return Ok(None);
        }
        let mut head = [0; HEADER as usize];
        self.file.read_exact_at(&mut head, self.end)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, crc, items) = (word(0), word(4), word(8));
        let offset = self.end + HEADER;
        if offset + u64::from(length) > size {
            return Ok(None);
        }
        let mut sum = crc32fast::Hasher::new();
        sum.update(&items.to_le_bytes());
        let mut buffer = vec![0; (length as usize).min(1 << 20)];
        let mut at = 0;
        while at < length {
            let take = (length - at).min(1 << 20) as usize;
            self.file.read_exact_at(&mut buffer[..take], offset + u64::from(at))?;
            sum.update(&buffer[..take]);
            at += take as u32;
        }
        Ok(Some((Found { record: self.records, offset, length, items }, sum.finalize() == crc)))
    }

    fn set_aside(&self, damaged: &Found) -> io::Result<()> {
        let aside = self.path.with_extension("damaged");
        tracing::error!(
            file = %self.path.display(), offset = damaged.offset, bytes = damaged.length, aside = %aside.display(),
            "a queued request is damaged and was set aside"
        );
        let mut bytes = vec![0; damaged.length as usize];
        self.file.read_exact_at(&mut bytes, damaged.offset)?;
        OpenOptions::new().append(true).create(true).open(aside)?.write_all(&bytes)
    }

    fn read_settled(&mut self) -> io::Result<HashSet<u32>> {
        let bytes = match fs::read(self.path.with_extension("settled")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // A torn last number is left out and written over: its request is sent once more, which OTLP allows.
        let (numbers, _) = bytes.as_chunks::<4>();
        self.settled_end = (numbers.len() * 4) as u64;
        Ok(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
    }
}

/// Reads a payload back.
pub(crate) fn read(file: &File, offset: u64, length: u32) -> io::Result<Bytes> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}
