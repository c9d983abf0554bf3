//! The protobuf wire format: fields of a message, each length checked against the bytes that are left. Nothing is copied.

use crate::weights::WeightsError;

/// A message that breaks off, or is another one.
pub(super) fn at(offset: usize, found: impl Into<String>, expected: impl Into<String>) -> WeightsError {
    WeightsError::Malformed { offset, found: found.into(), expected: expected.into() }
}

/// The bytes of a message that are still to be read, and where they lie in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub bytes: &'a [u8],
    /// Of the first of them, from the file's first byte.
    pub offset: usize,
}

/// A field of a message.
pub(super) struct Field<'a> {
    pub number: u32,
    pub offset: usize,
    pub value: Value<'a>,
}

/// What a field holds.
pub(super) enum Value<'a> {
    Number(u64),
    Word(u32),
    Bytes(Reader<'a>),
}

impl<'a> Reader<'a> {
    /// The next field; `None` at the message's end. 64-bit numbers, which no field above has, count as [`Value::Bytes`].
    pub(super) fn next_field(&mut self) -> Result<Option<Field<'a>>, WeightsError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|&n| n > 0 && n < 1 << 29);
        let number =
            number.ok_or_else(|| at(offset, format!("field number {}", tag >> 3), "a field of a protobuf message"))?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let word = self.take(4)?.bytes;
                Value::Word(word.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte)))
            }
            other => return Err(at(offset, format!("wire type {other}"), "a field of a protobuf message")),
        };
        Ok(Some(Field { number, offset, value }))
    }

    pub(super) fn varint(&mut self) -> Result<u64, WeightsError> {
        let mut value = 0_u64;
        for (i, &byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[i + 1..];
                self.offset += i + 1;
                return Ok(value);
            }
        }
        Err(at(self.offset, "a number without an end", "at most 10 bytes"))
    }

    fn take(&mut self, length: u64) -> Result<Self, WeightsError> {
        match usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length)) {
            Some((bytes, rest)) => {
                let taken = Self { bytes, offset: self.offset };
                self.offset += bytes.len();
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(at(
                self.offset,
                format!("a length of {length} bytes"),
                format!("at most the {} that are left", self.bytes.len()),
            )),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, WeightsError> {
        std::str::from_utf8(self.bytes).map_err(|_| at(self.offset, "bytes that are no text", "a name in UTF-8"))
    }
}
