//! Reading protobuf without copying: fields one after the other, their bytes borrowed from the message.
//!
//! Rules from the Protocol Buffers encoding guide. Groups (wire types 3 and 4) are refused: no OTLP message has one.

use std::str;

/// Why bytes are not the protobuf message that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// One field's value as it lies on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// A field with the place of its whole encoding, tag included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) wire: Wire<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Walks the fields of one message.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    buf: &'a [u8],
    at: usize,
}

// === impl Wire ===

impl<'a> Wire<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a field has another wire type than its message says")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes()?).map_err(|_| Malformed("a string is not UTF-8"))
    }

    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(Malformed("a field has another wire type than its message says")),
        }
    }

    pub(crate) fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(Malformed("a field has another wire type than its message says")),
        }
    }

    pub(crate) fn fixed32(self) -> Result<u32, Malformed> {
        match self {
            Self::Fixed32(value) => Ok(value),
            _ => Err(Malformed("a field has another wire type than its message says")),
        }
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(crate) fn new(buf: &'a [u8]) -> Self {
        Self { buf, at: 0 }
    }

    /// The next field, or none at the end of the message.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.at >= self.buf.len() {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let tag = u32::try_from(tag).map_err(|_| Malformed("a field number is too large"))?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed("a field has the number 0"));
        }
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed("a field has an unknown wire type")),
        };
        Ok(Some(Field { number, wire, start, end: self.at }))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let Some(rest) = self.buf.get(self.at..) else {
            return Err(Malformed("a message ends early"));
        };
        if let Some(&first) = rest.first()
            && first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(first));
        }
        let mut value = 0_u64;
        for (i, &byte) in rest.iter().take(10).enumerate() {
            if i == 9 && byte > 1 {
                return Err(Malformed("a number is longer than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(Malformed("a message ends early"))
    }

    #[inline]
    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let bytes =
            end.and_then(|end| self.buf.get(self.at..end)).ok_or(Malformed("a message ends early"))?;
        self.at += bytes.len();
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| Malformed("a message ends early"))
    }
}

/// Appends a base-128 varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a base-128 varint off the front.
pub(crate) fn take_varint(buf: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (i, &byte) in buf.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *buf = buf.get(i + 1..)?;
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cut_anywhere_is_an_error_or_a_shorter_message_but_never_a_panic() {
        let message = [0x0a, 3, b'a', b'b', b'c', 0x10, 0x96, 1, 0x39, 1, 2, 3, 4, 5, 6, 7, 8];
        for cut in 0..=message.len() {
            let mut fields = Fields::new(&message[..cut]);
            let mut seen = 0;
            let outcome = loop {
                match fields.next() {
                    Ok(Some(_)) => seen += 1,
                    Ok(None) => break Ok(seen),
                    Err(bad) => break Err(bad),
                }
            };
            match cut {
                0 | 5 | 8 | 17 => assert!(outcome.is_ok(), "cut at {cut}"),
                _ => assert!(outcome.is_err(), "cut at {cut}"),
            }
        }
    }

    #[test]
    fn varints_come_back_as_they_went() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(take_varint(&mut out.as_slice()), Some(value));
        }
    }
}
