//! What chunks went through before they were written: deflate, shuffle, Fletcher-32, LZF.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::checksum::fletcher32;
use super::source::Source;
use crate::VolumeError;

/// A larger chunk gets its room as its bytes come.
const FIRST_ROOM: usize = 2 << 20;

/// A filter of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Deflate,
    /// The bytes of each number apart: all first ones, then all second ones.
    Shuffle(usize),
    Fletcher32,
    Lzf,
}

impl Filter {
    /// The filter of a number, with the first of its settings.
    pub(super) fn new(
        source: &Source,
        part: &str,
        id: u16,
        name: &str,
        setting: Option<u32>,
        element: usize,
    ) -> Result<Self, VolumeError> {
        let known = match id {
            1 => return Ok(Self::Deflate),
            2 => return Ok(Self::Shuffle(setting.filter(|&n| n > 0).map_or(element, |n| n as usize))),
            3 => return Ok(Self::Fletcher32),
            32000 => return Ok(Self::Lzf),
            4 => "SZIP",
            5 => "N-bit",
            6 => "scale-offset",
            307 => "BZIP2",
            32001 => "Blosc",
            32004 => "LZ4",
            32008 => "Bitshuffle",
            32013 => "ZFP",
            32015 => "Zstandard",
            32026 => "Blosc2",
            _ => name,
        };
        Err(source.unsupported(
            part,
            format!("filter {id} ({})", known.chars().take(40).collect::<String>()),
            "gzip (deflate), LZF, shuffle, Fletcher-32".into(),
            "Write it again with one of these, for example with h5repack -f GZIP=4.",
        ))
    }

    const fn compresses(self) -> bool {
        matches!(self, Self::Deflate | Self::Lzf)
    }

    /// The most bytes that so many can become.
    const fn most(self, bytes: u64) -> u64 {
        match self {
            // 258 bytes in 2 bits.
            Self::Deflate => bytes.saturating_mul(1032).saturating_add(64),
            // 264 bytes in 3.
            Self::Lzf => bytes.saturating_mul(88).saturating_add(64),
            _ => bytes,
        }
    }
}

/// The filters of a dataset, in the order of writing.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipeline(Vec<Filter>);

impl Pipeline {
    pub(super) fn new(source: &Source, part: &str, filters: Vec<Filter>) -> Result<Self, VolumeError> {
        // With one, the size before each filter is known beforehand.
        if filters.iter().filter(|f| f.compresses()).count() > 1 || filters.len() > 32 {
            let found = format!("{} filters, several of which compress", filters.len());
            let hint = "Write it again with h5repack -f GZIP=4.";
            return Err(source.unsupported(part, found, "one compression".into(), hint));
        }
        Ok(Self(filters))
    }

    /// How many bytes a chunk of `bytes` may take in the file; a compression that finds nothing adds little.
    pub(super) const fn most_stored(bytes: u64) -> u64 {
        bytes.saturating_add(bytes / 8).saturating_add(4096)
    }

    /// The bytes of a chunk as they were before any filter: `expected` of them. Bit i of `mask`: filter i was left out.
    pub(super) fn decode(&self, mut bytes: Vec<u8>, mask: u32, expected: u64) -> Result<Vec<u8>, String> {
        let used: Vec<Filter> =
            self.0.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 0).map(|(_, &filter)| filter).collect();
        for (i, &filter) in used.iter().enumerate().rev() {
            let sums = used[..i].iter().filter(|&&f| f == Filter::Fletcher32).count() as u64;
            let wanted = expected + 4 * sums;
            // What a compression yields is known beforehand; what a filter after it yields is not.
            if filter.compresses() && filter.most(bytes.len() as u64) < wanted {
                return Err(format!("{} bytes that cannot make {wanted}", bytes.len()));
            }
            bytes = match filter {
                Filter::Deflate => inflate(&bytes, wanted as usize)?,
                Filter::Lzf => lzf(&bytes, wanted as usize)?,
                Filter::Shuffle(element) => unshuffle(&bytes, element),
                Filter::Fletcher32 => checked(bytes)?,
            };
        }
        if bytes.len() as u64 == expected {
            Ok(bytes)
        } else {
            Err(format!("{} bytes where {expected} were expected", bytes.len()))
        }
    }
}

fn inflate(bytes: &[u8], wanted: usize) -> Result<Vec<u8>, String> {
    // Room for what is there, not for what is claimed. Reading to the end compares the checksum.
    let mut inflated = Vec::with_capacity(wanted.min(FIRST_ROOM));
    match ZlibDecoder::new(bytes).take(wanted as u64 + 1).read_to_end(&mut inflated) {
        Ok(n) if n > wanted => Err(format!("deflate data of more than {wanted} bytes")),
        Ok(_) => Ok(inflated),
        Err(e) => Err(format!("damaged deflate data ({e})")),
    }
}

/// `LibLZF` by Marc Lehmann, format 1: runs of literals, and copies of what is up to 8 KiB back.
fn lzf(bytes: &[u8], wanted: usize) -> Result<Vec<u8>, String> {
    let early = || "LZF data that ends early".to_owned();
    let mut expanded: Vec<u8> = Vec::with_capacity(wanted.min(FIRST_ROOM));
    let mut rest = bytes;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        if control < 32 {
            let (literals, after) = after.split_at_checked(control + 1).ok_or_else(early)?;
            if expanded.len() + literals.len() > wanted {
                return Err(format!("LZF data of more than {wanted} bytes"));
            }
            expanded.extend_from_slice(literals);
            rest = after;
            continue;
        }
        let (&next, mut after) = after.split_first().ok_or_else(early)?;
        let (mut length, mut low) = (control >> 5, next);
        if length == 7 {
            length += usize::from(next);
            (low, after) = after.split_first().map(|(&low, after)| (low, after)).ok_or_else(early)?;
        }
        let back = (control & 31) << 8 | usize::from(low);
        let from = expanded.len().checked_sub(back + 1).ok_or("LZF data that refers to before its beginning")?;
        if expanded.len() + length + 2 > wanted {
            return Err(format!("LZF data of more than {wanted} bytes"));
        }
        // What is copied may reach into the copy.
        for i in 0..length + 2 {
            expanded.push(expanded[from + i]);
        }
        rest = after;
    }
    Ok(expanded)
}

fn unshuffle(bytes: &[u8], element: usize) -> Vec<u8> {
    let count = bytes.len() / element;
    if element < 2 || count == 0 {
        return bytes.to_vec();
    }
    let mut numbers = bytes.to_vec();
    for (i, plane) in bytes.chunks_exact(count).take(element).enumerate() {
        for (number, &byte) in numbers[i..].iter_mut().step_by(element).zip(plane) {
            *number = byte;
        }
    }
    numbers
}

/// The bytes of each number apart, as [`Filter::Shuffle`] has them.
pub(super) fn shuffle(bytes: &[u8], element: usize) -> Vec<u8> {
    (0..element).flat_map(|i| bytes[i.min(bytes.len())..].iter().step_by(element).copied()).collect()
}

/// Without the checksum at the end.
fn checked(mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let Some(at) = bytes.len().checked_sub(4) else { return Err("no room for a checksum".into()) };
    let stored = bytes[at..].iter().rev().fold(0_u32, |n, &byte| n << 8 | u32::from(byte));
    let sum = fletcher32(&bytes[..at]);
    // HDF5 before 1.6.3 swapped the bytes of each half on little-endian machines.
    let swapped = (sum & 0x00ff_00ff) << 8 | (sum & 0xff00_ff00) >> 8;
    if stored != sum && stored != swapped {
        return Err(format!("the checksum {sum:08x} instead of {stored:08x}: the file is damaged"));
    }
    bytes.truncate(at);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_and_back() {
        for (len, element) in [(24, 2), (24, 4), (24, 8), (24, 1), (0, 4)] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            assert_eq!(unshuffle(&shuffle(&bytes, element), element), bytes);
        }
        assert_eq!(shuffle(&[1, 2, 3, 4, 5, 6], 2), [1, 3, 5, 2, 4, 6]);
        assert_eq!(unshuffle(&[1, 3, 2, 4, 9], 2), [1, 2, 3, 4, 9], "what is over stays");
        assert_eq!(unshuffle(&[1, 2], 9), [1, 2]);
    }

    #[test]
    fn lzf_copies_may_overlap() {
        // "a", then 9 bytes from 1 back; as the library packs "aaaaaaaaaa".
        assert_eq!(lzf(&[0, b'a', 7 << 5, 0, 0], 10).unwrap(), b"aaaaaaaaaa");
        assert_eq!(lzf(&[1, b'a', b'b', 1 << 5, 1], 5).unwrap(), b"ababa");
        for (bytes, words) in [
            (&[5, 1][..], "ends early"),
            (&[0, 1, 7 << 5, 200][..], "ends early"),
            (&[0, 1, 1 << 5, 9][..], "before its beginning"),
            (&[0, 1, 7 << 5, 255, 0][..], "more than 10"),
        ] {
            let error = lzf(bytes, 10).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    /// Ten times "a", as zlib packs it.
    const DEFLATED: [u8; 11] = [120, 156, 75, 76, 132, 1, 0, 20, 225, 3, 203];

    #[test]
    fn a_checksum_may_be_that_of_compressed_bytes() {
        let summed = [&DEFLATED[..], &fletcher32(&DEFLATED).to_le_bytes()].concat();
        let pipeline = Pipeline(vec![Filter::Deflate, Filter::Fletcher32]);
        assert_eq!(pipeline.decode(summed.clone(), 0, 10), Ok(b"aaaaaaaaaa".to_vec()));
        for i in 0..summed.len() {
            let mut damaged = summed.clone();
            damaged[i] ^= 4;
            assert!(pipeline.decode(damaged, 0, 10).is_err(), "byte {i}");
        }
        let claims = |expected| Pipeline(vec![Filter::Deflate]).decode(DEFLATED.to_vec(), 0, expected).unwrap_err();
        assert!(claims(9).contains("more than 9 bytes") && claims(11).contains("10 bytes where 11"));
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let error = Pipeline(vec![Filter::Deflate]).decode(vec![0; 100], 0, 1 << 30).unwrap_err();
        assert!(error.contains("100 bytes that cannot make 1073741824"), "{error}");
        let left_out = Pipeline(vec![Filter::Deflate]).decode(vec![7; 100], 1, 100);
        assert_eq!(left_out, Ok(vec![7; 100]));
    }
}
