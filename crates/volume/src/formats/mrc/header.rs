//! The first 1024 bytes.

use crate::formats::linear::Linear;
use crate::formats::stored::Stored;
use crate::{Extent, Place, VolumeError, VoxelSize};

/// The size of the main header.
pub(super) const HEADER: usize = 1024;

/// "IMOD" as a number of four bytes: the fields of IMOD are there.
const IMOD_STAMP: i32 = 1146047817;

/// 1 nm in Å.
const ANGSTROM: f64 = 10.0;

/// A header's numbers, in its byte order. Places as in the specification, in bytes from 0.
struct Fields<'a> {
    bytes: &'a [u8; HEADER],
    big_endian: bool,
}

impl Fields<'_> {
    fn word(&self, at: usize) -> [u8; 4] {
        let b = self.bytes;
        let word = [b[at], b[at + 1], b[at + 2], b[at + 3]];
        if self.big_endian { [word[3], word[2], word[1], word[0]] } else { word }
    }

    fn int(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.word(at))
    }

    fn float(&self, at: usize) -> f32 {
        f32::from_le_bytes(self.word(at))
    }
}

/// What a header says: where the voxels lie, and their size.
pub(super) fn parse(
    place: &Place,
    bytes: &[u8; HEADER],
    file_bytes: u64,
) -> Result<(Linear, Option<VoxelSize>), VolumeError> {
    let malformed =
        |found: String, expected: &str| Err(VolumeError::malformed(place.clone(), found, expected.to_owned()));
    let Some(big_endian) = byte_order(bytes) else {
        return malformed("no MRC header".into(), "an MRC file (MRC2014, or an older one with axes 1, 2, 3)");
    };
    let fields = Fields { bytes, big_endian };
    let [nx, ny, nz, mode] = [0, 4, 8, 12].map(|at| fields.int(at));
    let size = |n: i32| u64::try_from(n).ok().filter(|&n| n > 0);
    let (Some(x), Some(y), Some(z)) = (size(nx), size(ny), size(nz)) else {
        return malformed(format!("{nx} columns, {ny} rows, {nz} sections"), "at least one of each");
    };
    let axes = [64, 68, 72].map(|at| fields.int(at));
    if axes != [1, 2, 3] {
        return Err(VolumeError::Unsupported {
            place: place.clone(),
            found: format!("axes in the order {axes:?} (MAPC, MAPR, MAPS)"),
            expected: "columns along x, rows along y, sections along z: 1, 2, 3".into(),
            hint: "Write it again in that order, for example with IMOD's clip or with mrcfile.".into(),
        });
    }
    let stored = number_type(place, mode, &fields)?;
    let extended = fields.int(92);
    let Ok(skipped) = u64::try_from(extended) else {
        return malformed(format!("an extended header of {extended} bytes"), "0 or more");
    };
    let linear = Linear { offset: HEADER as u64 + skipped, extent: Extent::new(z, y, x), stored, big_endian };
    let end = linear.bytes().and_then(|n| n.checked_add(linear.offset));
    if end.is_none_or(|end| end > file_bytes) {
        let needed = end.map_or("more than 2⁶⁴".into(), |n| n.to_string());
        return malformed(
            format!("{file_bytes} bytes"),
            &format!("{needed}, for {} as the header says; copy it again if it was cut short", linear.extent),
        );
    }
    Ok((linear, voxel_size(&fields)))
}

/// Whether numbers begin with their most significant byte: by the machine stamp, or else by which order makes sense.
fn byte_order(bytes: &[u8; HEADER]) -> Option<bool> {
    let sensible = |big_endian: bool| {
        let fields = Fields { bytes, big_endian };
        (0..=127).contains(&fields.int(12)) && [64, 68, 72].iter().all(|&at| (1..=3).contains(&fields.int(at)))
    };
    match (bytes[212], &bytes[208..211]) {
        (0x44, b"MAP") => Some(false),
        (0x11, b"MAP") => Some(true),
        // Old files have no stamp, and some programs write a wrong one.
        _ => [false, true].into_iter().find(|&big_endian| sensible(big_endian)),
    }
}

fn number_type(place: &Place, mode: i32, fields: &Fields<'_>) -> Result<Stored, VolumeError> {
    let name = match mode {
        0 if bytes_have_sign(fields) => return Ok(Stored::I8),
        0 => return Ok(Stored::U8),
        1 => return Ok(Stored::I16),
        2 => return Ok(Stored::F32),
        6 => return Ok(Stored::U16),
        12 => return Ok(Stored::F16),
        3 | 4 => " (complex numbers)",
        16 => " (colour)",
        101 => " (4 bits)",
        _ => "",
    };
    Err(VolumeError::Unsupported {
        place: place.clone(),
        found: format!("mode {mode}{name}"),
        expected: "mode 0, 1, 2, 6 or 12: 8 or 16 bits, or floating point".into(),
        hint: "Convert it, for example with IMOD's newstack -mode 2.".into(),
    })
}

/// IMOD's header says whether bytes have a sign (bit 0 of `imodFlags`). Without it they have, as MRC2014 wants it, unless
/// the header knows a maximum that such a byte cannot have.
fn bytes_have_sign(fields: &Fields<'_>) -> bool {
    if fields.int(152) == IMOD_STAMP { fields.int(156) & 1 == 1 } else { fields.float(80) <= 127.0 }
}

/// Cell over grid. `None` for no cell, and for 1 Å in all directions: what IMOD writes where it does not know.
fn voxel_size(fields: &Fields<'_>) -> Option<VoxelSize> {
    let along = |axis: usize| {
        let (cell, steps) = (fields.float(40 + 4 * axis), fields.int(28 + 4 * axis));
        (steps > 0).then(|| shortest(cell, steps))
    };
    let (x, y, z) = (along(0)?, along(1)?, along(2)?);
    if [x, y, z] == [1.0; 3] {
        return None;
    }
    VoxelSize::converted(z / ANGSTROM, y / ANGSTROM, x / ANGSTROM)
}

/// The number of fewest digits that makes `cell` when taken `steps` times: the cell is rounded to 32 bits, the size that
/// it was made of should come back.
fn shortest(cell: f32, steps: i32) -> f64 {
    let exact = f64::from(cell) / f64::from(steps);
    let candidates = (0..9).filter_map(|digits| format!("{exact:.digits$e}").parse::<f64>().ok());
    candidates.into_iter().find(|size| (size * f64::from(steps)) as f32 == cell).unwrap_or(exact)
}

/// Least, largest, mean value and deviation from the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistics {
    pub(super) min: f32,
    pub(super) max: f32,
    pub(super) mean: f32,
    pub(super) rms: f32,
}

impl Statistics {
    /// As MRC2014 says "not determined".
    pub(super) const UNKNOWN: Self = Self { min: 0.0, max: -1.0, mean: -2.0, rms: -1.0 };
}

/// A header of MRC2014, little-endian.
pub(super) fn encode(extent: Extent, mode: i32, voxel_size: Option<VoxelSize>, statistics: Statistics) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let sizes = [extent.x, extent.y, extent.z].map(|n| n as i32);
    for (axis, n) in sizes.into_iter().enumerate() {
        put(4 * axis, &n.to_le_bytes());
        put(28 + 4 * axis, &n.to_le_bytes());
        put(52 + 4 * axis, &90_f32.to_le_bytes());
        put(64 + 4 * axis, &(axis as i32 + 1).to_le_bytes());
    }
    put(12, &mode.to_le_bytes());
    if let Some(size) = voxel_size {
        for (axis, (n, nm)) in sizes.into_iter().zip([size.x_nm, size.y_nm, size.z_nm]).enumerate() {
            put(40 + 4 * axis, &((f64::from(n) * nm * ANGSTROM) as f32).to_le_bytes());
        }
    }
    put(76, &statistics.min.to_le_bytes());
    put(80, &statistics.max.to_le_bytes());
    put(84, &statistics.mean.to_le_bytes());
    // Space group 1: one volume, not a stack of images of their own.
    put(88, &1_i32.to_le_bytes());
    put(108, &20141_i32.to_le_bytes());
    put(208, b"MAP ");
    put(212, &[0x44, 0x44, 0, 0]);
    put(216, &statistics.rms.to_le_bytes());
    put(220, &1_i32.to_le_bytes());
    put(224, &[b' '; 80]);
    put(224, format!("Deep3M {}", env!("CARGO_PKG_VERSION")).as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voxel_size_comes_back() {
        for nm in [0.1, 4.6, 5.25, 50.0, 1.0 / 3.0, 12.345678] {
            for n in [1, 7, 93, 1999, 16000] {
                let size = VoxelSize::new(nm, 4.6, 5.0);
                let bytes = encode(Extent::new(n, 3, 5), 1, size, Statistics::UNKNOWN);
                let found = voxel_size(&Fields { bytes: &bytes, big_endian: false }).unwrap();
                assert!((found.z_nm - nm).abs() <= 1e-6 * nm + 1e-6, "{nm} {n}: {found}");
                assert_eq!((found.y_nm, found.x_nm), (4.6, 5.0));
                assert!(nm == 1.0 / 3.0 || found.z_nm == nm, "{nm} {n}: {found}");
            }
        }
    }

    fn with(change: impl Fn(&mut [u8; HEADER])) -> Result<(Linear, Option<VoxelSize>), VolumeError> {
        let mut bytes = encode(Extent::new(2, 3, 4), 0, VoxelSize::new(30.0, 5.0, 5.0), Statistics::UNKNOWN);
        change(&mut bytes);
        parse(&Place::file("a.mrc"), &bytes, HEADER as u64 + 24)
    }

    #[test]
    fn bytes_with_and_without_sign() {
        let stamp = IMOD_STAMP.to_le_bytes();
        let stored = |change: &dyn Fn(&mut [u8; HEADER])| with(change).unwrap().0.stored;
        assert_eq!(stored(&|_| ()), Stored::I8, "MRC2014");
        assert_eq!(stored(&|h| h[152..156].copy_from_slice(&stamp)), Stored::U8, "IMOD");
        let signed = |h: &mut [u8; HEADER]| {
            h[152..156].copy_from_slice(&stamp);
            h[156] = 1;
        };
        assert_eq!(stored(&signed), Stored::I8, "IMOD, with sign");
        assert_eq!(stored(&|h| h[80..84].copy_from_slice(&200_f32.to_le_bytes())), Stored::U8, "a byte of 200");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let error =
            |at: usize, bytes: &[u8]| with(|h| h[at..at + bytes.len()].copy_from_slice(bytes)).unwrap_err().to_string();
        assert!(error(64, &[3, 0, 0, 0, 2, 0, 0, 0, 1]).contains("[3, 2, 1] (MAPC"));
        assert!(error(0, &[0; 4]).contains("0 columns"));
        assert!(error(8, &[255; 4]).contains("-1 sections"));
        assert!(error(8, &[3]).contains("found 1048 bytes; expected 1060, for 3 × 3 × 4"));
        assert!(error(92, &[255; 4]).contains("extended header of -1 bytes"));
        assert!(error(92, &[1]).contains("expected 1049"));
        assert!(error(12, &[3]).contains("mode 3 (complex numbers)"));
        assert!(with(|h| h[208..216].fill(0)).is_ok(), "old files have no stamp");
        assert!(with(|h| h.fill(7)).is_err());
    }
}
