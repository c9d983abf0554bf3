//! Protocol buffers as they lie in a file: fields one after another, each a number, a kind and a value.

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// Wire kinds.
const VARINT: u64 = 0;
const DELIMITED: u64 = 2;

impl Message {
    /// Adds a whole number; negative ones take ten bytes, as the format has it.
    pub(super) fn integer(&mut self, field: u32, value: i64) {
        self.key(field, VARINT);
        self.varint(value as u64);
    }

    /// Adds a whole number per value (unpacked, as ONNX declares its lists).
    pub(super) fn integers(&mut self, field: u32, values: impl IntoIterator<Item = i64>) {
        for value in values {
            self.integer(field, value);
        }
    }

    /// Adds bytes.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Adds text.
    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// Adds a message.
    pub(super) fn message(&mut self, field: u32, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// The message as it lies in a file.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    /// Seven bits per byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_format() {
        // The examples of protobuf.dev/programming-guides/encoding.
        let mut message = Message::default();
        message.integer(1, 150);
        message.text(2, "testing");
        message.integer(3, -2);
        let mut outer = Message::default();
        outer.message(16, &message);
        let mut expected = vec![0x08, 0x96, 0x01, 0x12, 0x07];
        expected.extend(b"testing");
        expected.extend([0x18, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(message.0, expected);
        assert_eq!(outer.into_bytes()[..3], [0x82, 0x01, expected.len() as u8]);
    }
}
