//! The checksums of HDF5.

/// Bob Jenkins's lookup3 (`hashlittle`, 2006), which closes metadata of version 2.
pub(super) fn lookup3(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let word =
        |twelve: [u8; 12], i: usize| u32::from_le_bytes([twelve[i], twelve[i + 1], twelve[i + 2], twelve[i + 3]]);
    let mut rest = bytes;
    while let Some((&twelve, after)) = rest.split_first_chunk::<12>().filter(|(_, after)| !after.is_empty()) {
        a = a.wrapping_add(word(twelve, 0));
        b = b.wrapping_add(word(twelve, 4));
        c = c.wrapping_add(word(twelve, 8));
        for turn in [4, 6, 8, 16, 19, 4] {
            a = a.wrapping_sub(c) ^ c.rotate_left(turn);
            c = c.wrapping_add(b);
            (a, b, c) = (b, c, a);
        }
        rest = after;
    }
    if rest.is_empty() {
        return c;
    }
    let mut twelve = [0; 12];
    twelve[..rest.len()].copy_from_slice(rest);
    a = a.wrapping_add(word(twelve, 0));
    b = b.wrapping_add(word(twelve, 4));
    c = c.wrapping_add(word(twelve, 8));
    for turn in [14, 11, 25, 16, 4, 14, 24] {
        c = (c ^ b).wrapping_sub(b.rotate_left(turn));
        (a, b, c) = (b, c, a);
    }
    b
}

/// Fletcher's checksum over words of 16 bits, most significant byte first, as the filter stores it.
pub(super) fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut one, mut two) = (0_u32, 0_u32);
    // Sums of 360 words stay below 2³².
    for block in bytes.chunks(720) {
        for pair in block.chunks(2) {
            one += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            two += one;
        }
        one = (one & 0xffff) + (one >> 16);
        two = (two & 0xffff) + (two >> 16);
    }
    one = (one & 0xffff) + (one >> 16);
    two = (two & 0xffff) + (two >> 16);
    two << 16 | one
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the self test in lookup3.c, and the signature of an empty message.
    #[test]
    fn known_sums() {
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
        assert_eq!(fletcher32(b""), 0);
        assert_eq!(fletcher32(&[1, 2, 3, 4]), 0x0508_0406);
    }
}
