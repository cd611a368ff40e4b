//! Which ports the parts get: the usual ones, or a free block.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use rand::Rng;

use super::parts::Part;

/// First port of the range that blocks are taken from. The range ends below 32768, where Linux begins to pick the
/// local ports of outgoing connections, so that a port cannot be taken between our look and the child's bind.
const FIRST: u16 = 16_000;
/// Ports of a block: one for the lock, the rest for the parts.
const BLOCK: u16 = 24;
/// Blocks in the range.
const BLOCKS: u16 = 690;

/// A block of free ports that no other fleet on this machine uses.
#[derive(Debug)]
pub(crate) struct Block {
    next: u16,
    end: u16,
    // Held, never accepted from: two fleets that look at the same block at once cannot both bind this.
    lock: TcpListener,
}

// === impl Block ===

impl Block {
    /// Takes a random block of which every port is free.
    pub(crate) fn take() -> io::Result<Self> {
        let start = rand::rng().random_range(0..BLOCKS);
        for i in 0..BLOCKS {
            let base = FIRST + (start + i) % BLOCKS * BLOCK;
            if let Some(block) = Self::at(base) {
                return Ok(block);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free block of ports between 16000 and 32560"))
    }

    /// The next port of the block.
    pub(crate) fn next(&mut self) -> io::Result<u16> {
        if self.next == self.end {
            return Err(io::Error::other("the block of ports is used up"));
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Keeps the block locked for as long as the answer lives.
    pub(crate) fn into_lock(self) -> TcpListener {
        self.lock
    }

    fn at(base: u16) -> Option<Self> {
        let lock = bind(base).ok()?;
        let all_free = (base + 1..base + BLOCK).all(|port| bind(port).is_ok());
        all_free.then_some(Self { next: base + 1, end: base + BLOCK, lock })
    }
}

/// Why `port` of `part` cannot be bound, if so: one line with the remedy.
pub(crate) fn taken(part: &Part, role: &str, port: u16) -> Option<String> {
    let error = bind(port).err()?;
    let what = if part.ports.len() > 1 { format!("{} ({role})", part.name) } else { part.name.to_owned() };
    Some(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} for {what} is taken by another process: stop that one, or start with --ports auto"
        ),
        _ => format!("port {port} for {what} cannot be used ({error}): start with --ports auto"),
    })
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn two_fleets_never_get_the_same_block() {
        let mut a = Block::take().unwrap();
        let mut b = Block::take().unwrap();
        assert_ne!(a.next().unwrap(), b.next().unwrap());
        assert!(Block::at(a.next - 2).is_none(), "a block that is held is not given again");
    }

    #[test]
    fn a_taken_port_is_named_with_its_part_and_the_remedy() {
        let held = bind(0).unwrap();
        let port = held.local_addr().unwrap().port();
        let line = taken(super::super::parts::find("auth").unwrap(), "http", port).unwrap();
        assert!(line.contains(&port.to_string()) && line.contains("auth") && line.contains("--ports auto"));
    }
}
