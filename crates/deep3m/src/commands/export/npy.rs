//! NumPy's file format, version 1.0: a magic number, a header that is a Python dictionary, the values.
//! Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html

/// Values of an array, row-major, as the bytes of a `.npy` file.
pub(super) fn encode(shape: &[usize], values: &[f32]) -> Vec<u8> {
    /// The values begin at a multiple of this.
    const ALIGNMENT: usize = 64;
    /// Magic number, version, length of the header.
    const PREFIX: usize = 10;
    let axes = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // Python writes a tuple of one with a comma.
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}{comma}), }}");
    let length = (PREFIX + header.len() + 1).next_multiple_of(ALIGNMENT) - PREFIX;
    header.extend(std::iter::repeat_n(' ', length - 1 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_numpy() {
        // io.BytesIO of np.save(file, np.array([[[1.5], [-2]]], "<f4")), NumPy 2.4.
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 1), }");
        expected.resize(127, b' ');
        expected.push(b'\n');
        expected.extend([0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]);
        assert_eq!(encode(&[1, 2, 1], &[1.5, -2.0]), expected);
        assert!(encode(&[2], &[0.0; 2]).windows(4).any(|w| w == b"(2,)"));
    }
}
