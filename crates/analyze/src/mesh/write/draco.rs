//! Draco's bitstream, version 2.2, as far as a mesh of whole numbers needs it:
//! <https://google.github.io/draco/spec/>. Triangles and corners one after the other ("sequential"), each number in as few
//! bytes as the largest needs, without Draco's entropy coding: any decoder reads it.

/// `TRIANGULAR_MESH` and `MESH_SEQUENTIAL_ENCODING`.
const MESH: u8 = 1;
const SEQUENTIAL: u8 = 0;
/// Triangles as plain numbers.
const UNCOMPRESSED: u8 = 1;
/// `POSITION` and `DT_INT32`: the only whole numbers that Neuroglancer takes.
const POSITION: u8 = 0;
const INT32: u8 = 5;
/// `SEQUENTIAL_ATTRIBUTE_ENCODER_INTEGER`; `PREDICTION_NONE`, which is −2.
const INTEGER: u8 = 1;
const NO_PREDICTION: u8 = 0xfe;
/// Bytes of a corner's number: enough for 16 bits with a sign.
const CORNER_BYTES: usize = 3;

/// Corners of 16 bits along each axis, and triangles.
pub(super) fn encode(corners: &[[u16; 3]], triangles: &[[u32; 3]]) -> Vec<u8> {
    let mut bytes = b"DRACO".to_vec();
    bytes.extend([2, 2, MESH, SEQUENTIAL]);
    bytes.extend(0_u16.to_le_bytes());
    varint(&mut bytes, triangles.len() as u32);
    varint(&mut bytes, corners.len() as u32);
    bytes.push(UNCOMPRESSED);
    for &corner in triangles.as_flattened() {
        match corners.len() {
            0..256 => bytes.push(corner as u8),
            256..65_536 => bytes.extend((corner as u16).to_le_bytes()),
            65_536..2_097_152 => varint(&mut bytes, corner),
            _ => bytes.extend(corner.to_le_bytes()),
        }
    }
    // One decoder of one attribute: three whole numbers per corner, as they are, with number 0.
    bytes.extend([1, 1, POSITION, INT32, 3, 0, 0]);
    bytes.extend([INTEGER, NO_PREDICTION, 0, CORNER_BYTES as u8]);
    for &value in corners.as_flattened() {
        // Signed numbers go up and down from 0 in turn: 0, −1, 1, −2, …
        bytes.extend(&(u32::from(value) << 1).to_le_bytes()[..CORNER_BYTES]);
    }
    bytes
}

/// Seven bits a byte, the lowest first.
fn varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size() {
        let of = |value| {
            let mut bytes = Vec::new();
            varint(&mut bytes, value);
            bytes
        };
        assert_eq!((of(0), of(127), of(128)), (vec![0], vec![127], vec![128, 1]));
        assert_eq!(of(u32::MAX), [255, 255, 255, 255, 15]);
    }

    #[test]
    fn a_triangle_is_as_the_specification_says() {
        let bytes = encode(&[[0, 1, 2], [65535, 0, 0], [0, 300, 0]], &[[0, 1, 2]]);
        let head = [b"DRACO", &[2, 2, 1, 0, 0][..], &[0, 1, 3, 1, 0, 1, 2, 1, 1, 0, 5, 3, 0, 0, 1, 254, 0, 3]].concat();
        assert_eq!(&bytes[..head.len()], head);
        assert_eq!(&bytes[head.len()..][6..12], [4, 0, 0, 254, 255, 1]);
        assert_eq!(bytes.len(), head.len() + 27);
    }
}
