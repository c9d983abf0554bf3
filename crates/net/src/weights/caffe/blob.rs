//! Caffe's `BlobProto`: an array of numbers, as a place in a file.

use super::wire::{Reader, Value, at};
use crate::weights::WeightsError;

/// Axes of a blob at most: a bound against damaged files, above what networks have.
const MAX_AXES: usize = 8;

/// An array of numbers in a file.
#[derive(Clone, Debug)]
pub struct CaffeBlob<'a> {
    axes: [u32; MAX_AXES],
    rank: usize,
    /// As many as the shape says.
    len: usize,
    message: Reader<'a>,
    offset: usize,
}

/// A run of values: packed, or one by one.
enum Part<'a> {
    Float(u32),
    Floats(&'a [[u8; 4]]),
    Doubles(&'a [[u8; 8]]),
}

impl<'a> CaffeBlob<'a> {
    /// Its shape.
    pub fn shape(&self) -> &[u32] {
        &self.axes[..self.rank]
    }

    /// Where it begins in the file, in bytes.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Finds a blob's shape and counts its values.
    pub(super) fn read(message: Reader<'a>, offset: usize) -> Result<Self, WeightsError> {
        let mut shape = Shape::default();
        let mut old = [None; 4];
        let mut given = false;
        let mut fields = message;
        while let Some(field) = fields.next_field()? {
            match (field.number, field.value) {
                (n @ 1..=4, Value::Number(size)) => old[n as usize - 1] = Some((size, field.offset)),
                (7, Value::Bytes(dims)) => {
                    (shape, given) = (Shape::default(), true);
                    shape.read(dims)?;
                }
                _ => {}
            }
        }
        if !given {
            for (size, offset) in old.into_iter().flatten() {
                shape.add(size, offset)?;
            }
        }
        let mut len = 0;
        each_part(message, |part, _| len += part.len())?;
        let axes = &shape.axes[..shape.rank];
        let expected = axes.iter().try_fold(1_usize, |all, &size| all.checked_mul(size as usize));
        if expected != Some(len) {
            let found = format!("{len} values for a blob of shape {axes:?}");
            return Err(at(offset, found, "as many as the shape says"));
        }
        Ok(Self { axes: shape.axes, rank: shape.rank, len, message, offset })
    }

    /// Its values, row-major.
    pub(super) fn values(&self) -> Result<Vec<f32>, WeightsError> {
        let mut values = Vec::with_capacity(self.len);
        each_part(self.message, |part, _| match part {
            Part::Float(bits) => values.push(f32::from_bits(bits)),
            Part::Floats(floats) => values.extend(floats.iter().map(|&value| f32::from_le_bytes(value))),
            Part::Doubles(doubles) => values.extend(doubles.iter().map(|&value| f64::from_le_bytes(value) as f32)),
        })?;
        Ok(values)
    }

    /// The byte at which a value begins.
    pub(super) fn offset_of(&self, index: usize) -> usize {
        let (mut before, mut found) = (0, None);
        // The message was walked before: it has no errors.
        let _ = each_part(self.message, |part, offset| {
            if (before..before + part.len()).contains(&index) {
                found = Some(offset + (index - before) * part.size());
            }
            before += part.len();
        });
        found.unwrap_or(self.offset)
    }
}

impl Part<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Float(_) => 1,
            Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
        }
    }

    /// Bytes of a value.
    const fn size(&self) -> usize {
        match self {
            Self::Float(_) | Self::Floats(_) => 4,
            Self::Doubles(_) => 8,
        }
    }
}

/// Goes through a blob's values, with the byte at which each run begins.
fn each_part<'a>(message: Reader<'a>, mut see: impl FnMut(Part<'a>, usize)) -> Result<(), WeightsError> {
    let not_whole = |offset, bytes: &[u8], bits| {
        at(offset, format!("{} bytes of data", bytes.len()), format!("whole {bits}-bit numbers"))
    };
    let mut fields = message;
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            (5, Value::Word(word)) => see(Part::Float(word), fields.offset - 4),
            (5, Value::Bytes(floats)) => match floats.bytes.as_chunks() {
                (values, []) => see(Part::Floats(values), floats.offset),
                _ => return Err(not_whole(field.offset, floats.bytes, 32)),
            },
            (8, Value::Bytes(doubles)) => match doubles.bytes.as_chunks() {
                (values, []) => see(Part::Doubles(values), doubles.offset),
                _ => return Err(not_whole(field.offset, doubles.bytes, 64)),
            },
            _ => {}
        }
    }
    Ok(())
}

/// A `BlobShape`.
#[derive(Default)]
struct Shape {
    axes: [u32; MAX_AXES],
    rank: usize,
}

impl Shape {
    fn read(&mut self, message: Reader<'_>) -> Result<(), WeightsError> {
        let mut fields = message;
        while let Some(field) = fields.next_field()? {
            match (field.number, field.value) {
                (1, Value::Number(size)) => self.add(size, field.offset)?,
                (1, Value::Bytes(mut packed)) => {
                    while !packed.bytes.is_empty() {
                        let offset = packed.offset;
                        self.add(packed.varint()?, offset)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, size: u64, offset: usize) -> Result<(), WeightsError> {
        let Some(axis) = self.axes.get_mut(self.rank) else {
            return Err(at(offset, format!("more than {MAX_AXES} axes"), "a blob's shape"));
        };
        match u32::try_from(size) {
            Ok(size) if size > 0 => *axis = size,
            _ => return Err(at(offset, format!("an axis of {}", size.cast_signed()), "1 or more, below 2³²")),
        }
        self.rank += 1;
        Ok(())
    }
}
