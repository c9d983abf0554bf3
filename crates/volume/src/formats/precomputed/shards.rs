//! Many chunks in one file: Neuroglancer's `neuroglancer_uint64_sharded_v1`.
//!
//! The specification: <https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/sharded.md>. A
//! chunk's number (its place on a Morton curve), hashed, says in which shard it lies and in which of the shard's minishards.
//! A shard begins with where the index of each minishard lies; that lists the chunks with their places.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::gzip;
use crate::files::Files;
use crate::{Extent, Index, Place, VolumeError};

/// Decoded bytes of a minishard's index: 24 for each chunk, of which there are a few thousand.
const LARGEST_INDEX: u64 = 64 << 20;

/// Chunks whose places are kept.
const MOST_PLACES: usize = 1 << 20;

/// How chunk numbers lead to places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sharding {
    /// Chunks along (z, y, x).
    grid: Extent,
    preshift: u32,
    hash: Hash,
    minishard_bits: u32,
    shard_bits: u32,
    index_gzip: bool,
    data_gzip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Identity,
    Murmur,
}

impl Sharding {
    /// The specification in a scale's `sharding`; else what is expected there.
    pub(super) fn parse(json: &Value, extent: Extent, chunk: Extent) -> Result<Self, &'static str> {
        if json["@type"] != "neuroglancer_uint64_sharded_v1" {
            return Err("@type neuroglancer_uint64_sharded_v1");
        }
        let bits = |name: &str, most: u64| json[name].as_u64().filter(|&n| n <= most).map(|n| n as u32);
        let gzip = |name: &str| match json[name].as_str() {
            Some("gzip") => Some(true),
            Some("raw") => Some(false),
            None if json[name].is_null() => Some(false),
            _ => None,
        };
        let grid = Extent::new(extent.z.div_ceil(chunk.z), extent.y.div_ceil(chunk.y), extent.x.div_ceil(chunk.x));
        if grid.to_array().iter().map(|&n| bits_of(n)).sum::<u32>() > 64 {
            return Err("a volume of at most 2⁶⁴ chunks");
        }
        let sharding = Self {
            grid,
            preshift: bits("preshift_bits", 64).ok_or("preshift_bits of at most 64")?,
            hash: match json["hash"].as_str() {
                Some("identity") => Hash::Identity,
                Some("murmurhash3_x86_128") => Hash::Murmur,
                _ => return Err("a hash, identity or murmurhash3_x86_128"),
            },
            minishard_bits: bits("minishard_bits", 32).ok_or("minishard_bits of at most 32")?,
            shard_bits: bits("shard_bits", 64).ok_or("shard_bits of at most 64")?,
            index_gzip: gzip("minishard_index_encoding").ok_or("minishard_index_encoding raw or gzip")?,
            data_gzip: gzip("data_encoding").ok_or("data_encoding raw or gzip")?,
        };
        if sharding.minishard_bits + sharding.shard_bits > 64 {
            return Err("minishard_bits and shard_bits of at most 64 together");
        }
        Ok(sharding)
    }

    /// The number of a chunk: the bits of its position interleaved, x first, without those that are 0 for all chunks.
    fn number(&self, chunk: Index) -> u64 {
        let axes = [(chunk.x, bits_of(self.grid.x)), (chunk.y, bits_of(self.grid.y)), (chunk.z, bits_of(self.grid.z))];
        let (mut number, mut to) = (0, 0);
        for bit in 0..64 {
            for (position, bits) in axes {
                if bit < bits {
                    number |= (position >> bit & 1) << to;
                    to += 1;
                }
            }
        }
        number
    }

    /// The shard of a chunk and its minishard there.
    fn shard(&self, number: u64) -> (u64, u64) {
        let shifted = number.checked_shr(self.preshift).unwrap_or(0);
        let hashed = match self.hash {
            Hash::Identity => shifted,
            Hash::Murmur => murmur3_x86_128(shifted),
        };
        let low = |value: u64, bits: u32| value & u64::MAX.checked_shr(64 - bits).unwrap_or(0);
        let above = hashed.checked_shr(self.minishard_bits).unwrap_or(0);
        (low(above, self.shard_bits), low(hashed, self.minishard_bits))
    }
}

/// Bits that tell numbers below `count` apart.
const fn bits_of(count: u64) -> u32 {
    64 - count.saturating_sub(1).leading_zeros()
}

/// The low 8 bytes of `MurmurHash3_x86_128` (A. Appleby, public domain) of a number's 8 bytes, seed 0.
fn murmur3_x86_128(key: u64) -> u64 {
    const C1: u32 = 0x239b_961b;
    const C2: u32 = 0xab0e_9789;
    const C3: u32 = 0x38b3_4ae5;
    let mix = |mut h: u32| {
        h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
        h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
        h ^ h >> 16
    };
    // Of the four words of state the key's two halves enter the first two; all four take its length.
    let len = 8;
    let mut h1 = (key as u32).wrapping_mul(C1).rotate_left(15).wrapping_mul(C2) ^ len;
    let mut h2 = ((key >> 32) as u32).wrapping_mul(C2).rotate_left(16).wrapping_mul(C3) ^ len;
    h1 = h1.wrapping_add(h2).wrapping_add(len).wrapping_add(len);
    h2 = h2.wrapping_add(h1);
    let others = mix(len.wrapping_add(h1));
    (h1, h2) = (mix(h1), mix(h2));
    h1 = h1.wrapping_add(h2).wrapping_add(others).wrapping_add(others);
    h2 = h2.wrapping_add(h1);
    u64::from(h2) << 32 | u64::from(h1)
}

/// Where a chunk lies in its shard.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    start: u64,
    len: u64,
}

/// The chunks of a minishard, by number.
type Minishard = Arc<Vec<Entry>>;

/// The chunks of a sharded scale.
#[derive(Debug)]
pub(super) struct Shards {
    files: Arc<dyn Files>,
    /// The scale's folder.
    key: String,
    sharding: Sharding,
    minishards: Mutex<HashMap<(u64, u64), Minishard>>,
}

impl Shards {
    pub(super) fn new(files: Arc<dyn Files>, key: &str, sharding: Sharding) -> Self {
        Self { files, key: key.to_owned(), sharding, minishards: Mutex::default() }
    }

    fn file(&self, shard: u64, ending: &str) -> String {
        let digits = self.sharding.shard_bits.div_ceil(4) as usize;
        format!("{}/{shard:0digits$x}.{ending}", self.key)
    }

    /// Where errors of a chunk lie.
    pub(super) fn place(&self, chunk: Index) -> Place {
        let (shard, _) = self.sharding.shard(self.sharding.number(chunk));
        let words = format!("chunk {}/{}/{} (z/y/x)", chunk.z, chunk.y, chunk.x);
        Place::part(self.address(&self.file(shard, "shard")), words)
    }

    fn address(&self, key: &str) -> PathBuf {
        self.files.address(key)
    }

    /// The bytes of the chunk at a place in the grid, at most `most` of them; `None` where it was never written.
    pub(super) fn get(&self, chunk: Index, most: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let number = self.sharding.number(chunk);
        let (shard, minishard) = self.sharding.shard(number);
        let entries = self.minishard(shard, minishard)?;
        let Ok(at) = entries.binary_search_by_key(&number, |entry| entry.number) else { return Ok(None) };
        let Entry { start, len, .. } = entries[at];
        let malformed = |found: String| VolumeError::malformed(self.place(chunk), found, "a whole chunk");
        // Gzip makes what cannot be compressed a little longer.
        let encoded_most =
            if self.sharding.data_gzip { most.saturating_add(most / 100).saturating_add(1024) } else { most };
        if len > encoded_most {
            return Err(malformed(format!("{len} bytes, where {encoded_most} are the most")));
        }
        let Some(bytes) = self.files.get_range(&self.file(shard, "shard"), start, len)? else { return Ok(None) };
        if self.sharding.data_gzip { gzip::gunzip(&bytes, most).map(Some).map_err(malformed) } else { Ok(Some(bytes)) }
    }

    fn minishard(&self, shard: u64, minishard: u64) -> Result<Minishard, VolumeError> {
        let kept = || self.minishards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = kept().get(&(shard, minishard)) {
            return Ok(Arc::clone(entries));
        }
        let entries = Arc::new(self.read_minishard(shard, minishard)?);
        let mut kept = kept();
        if kept.values().map(|entries| 1 + entries.len()).sum::<usize>() + entries.len() > MOST_PLACES {
            kept.clear();
        }
        kept.insert((shard, minishard), Arc::clone(&entries));
        Ok(entries)
    }

    fn read_minishard(&self, shard: u64, minishard: u64) -> Result<Vec<Entry>, VolumeError> {
        let file = self.file(shard, "shard");
        let malformed = |found: String, expected: &str| {
            VolumeError::malformed(Place::part(self.address(&file), format!("minishard {minishard}")), found, expected)
        };
        let Some(place) = self.files.get_range(&file, 16 * minishard, 16)? else {
            return self.none_of_the_old(shard);
        };
        let (start, end) = match numbers(&place)[..] {
            [start, end] if start == end => return Ok(Vec::new()),
            [start, end] if start < end => (start, end),
            _ => return Err(malformed("an index that ends before it starts".into(), "its place in the shard")),
        };
        let base = 16_u64 << self.sharding.minishard_bits;
        let too_far = || malformed("places beyond all numbers".into(), "places in the shard");
        // It lists each chunk of the volume once at most; encoded it takes hardly more than decoded.
        let chunks = self.sharding.grid.checked_voxels().unwrap_or(u64::MAX);
        let most = chunks.saturating_mul(24).min(LARGEST_INDEX);
        if end - start > most + most / 100 + 1024 {
            return Err(malformed(format!("an index of {} bytes", end - start), "24 bytes for each chunk"));
        }
        let from = base.checked_add(start).ok_or_else(too_far)?;
        let Some(bytes) = self.files.get_range(&file, from, end - start)? else { return Ok(Vec::new()) };
        let bytes = if self.sharding.index_gzip {
            gzip::gunzip(&bytes, most).map_err(|found| malformed(found, "24 bytes for each chunk"))?
        } else {
            bytes
        };
        if !bytes.len().is_multiple_of(24) {
            return Err(malformed(format!("an index of {} bytes", bytes.len()), "24 bytes for each chunk"));
        }
        let third = bytes.len() / 3;
        let (steps, gaps, sizes) =
            (numbers(&bytes[..third]), numbers(&bytes[third..2 * third]), numbers(&bytes[2 * third..]));
        let mut entries = Vec::with_capacity(steps.len());
        let (mut number, mut end) = (0_u64, base);
        for ((step, gap), len) in steps.into_iter().zip(gaps).zip(sizes) {
            number = number.checked_add(step).ok_or_else(too_far)?;
            let start = end.checked_add(gap).ok_or_else(too_far)?;
            end = start.checked_add(len).ok_or_else(too_far)?;
            entries.push(Entry { number, start, len });
        }
        Ok(entries)
    }

    /// An absent shard has no chunks, unless it is in the two files of the format's first version.
    fn none_of_the_old(&self, shard: u64) -> Result<Vec<Entry>, VolumeError> {
        let old = self.file(shard, "index");
        if self.files.size(&old)?.is_none() {
            return Ok(Vec::new());
        }
        Err(VolumeError::Unsupported {
            place: Place::file(self.address(&old)),
            found: "shards as .index and .data, the format's first version".into(),
            expected: "shards as .shard files".into(),
            hint: "Join each pair into one file: cat N.index N.data > N.shard.".into(),
        })
    }
}

/// The little-endian numbers of 64 bits.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|&number| u64::from_le_bytes(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sharding(extent: Extent, hash: &str, bits: [u32; 3]) -> Sharding {
        let json = json!({
            "@type": "neuroglancer_uint64_sharded_v1", "hash": hash,
            "preshift_bits": bits[0], "minishard_bits": bits[1], "shard_bits": bits[2],
        });
        Sharding::parse(&json, extent, Extent::new(1, 1, 1)).unwrap()
    }

    #[test]
    fn chunk_numbers_leave_out_the_bits_that_none_has() {
        // As in the specification's rule: x, y and z in turn, while 2^i is below the grid's size.
        let sharding = sharding(Extent::new(2, 5, 3), "identity", [0, 1, 2]);
        assert_eq!(sharding.number(Index::new(0, 0, 1)), 0b1);
        assert_eq!(sharding.number(Index::new(0, 1, 0)), 0b10);
        assert_eq!(sharding.number(Index::new(1, 0, 0)), 0b100);
        assert_eq!(sharding.number(Index::new(0, 0, 2)), 0b1000);
        assert_eq!(sharding.number(Index::new(0, 2, 0)), 0b1_0000);
        assert_eq!(sharding.number(Index::new(0, 4, 0)), 0b10_0000);
        let all: std::collections::HashSet<u64> = crate::Region::whole(Extent::new(2, 5, 3))
            .tiles(Extent::new(1, 1, 1))
            .map(|chunk| sharding.number(chunk.start))
            .collect();
        assert_eq!(all.len(), 30);
    }

    #[test]
    fn shards_take_the_bits_above_the_minishards() {
        let extent = Extent::new(16, 16, 16);
        assert_eq!(sharding(extent, "identity", [2, 3, 4]).shard(0b110_1011_1001), (0b0101, 0b110));
        assert_eq!(sharding(extent, "identity", [64, 0, 0]).shard(u64::MAX), (0, 0));
        assert_eq!(sharding(extent, "identity", [0, 0, 64]).shard(u64::MAX), (u64::MAX, 0));
    }

    #[test]
    fn the_hash_is_murmur() {
        // From the Python package mmh3: hash64(struct.pack("<Q", key), 0, x64arch=False, signed=False)[0].
        for (key, hash) in [
            (0, 0x4772_b084_e028_ae41),
            (1, 0xe8bd_67d6_16d4_ce9a),
            (0x0123_4567_89ab_cdef, 0x7080_3626_4c10_9d93),
            (u64::MAX, 0x574f_66bd_212b_5d1a),
        ] {
            assert_eq!(murmur3_x86_128(key), hash, "{key:#x}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let good = json!({"@type": "neuroglancer_uint64_sharded_v1", "hash": "identity",
            "preshift_bits": 0, "minishard_bits": 0, "shard_bits": 0});
        let one = Extent::new(1, 1, 1);
        assert!(Sharding::parse(&good, one, one).is_ok());
        for (name, value) in [
            ("@type", json!("v2")),
            ("hash", json!("md5")),
            ("preshift_bits", json!(65)),
            ("minishard_bits", json!(33)),
            ("shard_bits", json!(-1)),
            ("data_encoding", json!("zstd")),
        ] {
            let mut json = good.clone();
            json[name] = value;
            assert!(Sharding::parse(&json, one, one).is_err(), "{json}");
        }
        let huge = Extent::new(1 << 22, 1 << 22, 1 << 22);
        assert!(Sharding::parse(&good, huge, one).is_err());
    }
}
