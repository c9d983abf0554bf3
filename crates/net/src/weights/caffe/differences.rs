//! How a file's layers differ from the network's.

use std::fmt;

use crate::params::ParamSpec;

/// How a file's layers differ from the network's: bounded by the network, whatever the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerDifferences {
    /// Layers, and blobs of layers, that the network has and the file has not.
    pub missing: Vec<String>,
    /// Blobs of another shape.
    pub different: Vec<ShapeDifference>,
    /// The first layers that the file has and the network has not.
    pub unexpected: Vec<String>,
    /// How many more of them there are.
    pub unexpected_more: usize,
}

/// A blob of another shape than the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeDifference {
    /// The tensor as the network has it.
    pub expected: ParamSpec,
    /// The shape in the file.
    pub found: Vec<u32>,
    /// Where the blob begins in the file, in bytes.
    pub offset: usize,
}

impl LayerDifferences {
    /// More of a kind make a message no clearer.
    const SHOWN: usize = 8;

    /// Whether nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty() && self.unexpected.is_empty()
    }

    /// Notes a layer that the network does not have; only the first ones are kept.
    pub(super) fn not_expected(&mut self, what: impl FnOnce() -> String) {
        if self.unexpected.len() < Self::SHOWN {
            self.unexpected.push(what());
        } else {
            self.unexpected_more += 1;
        }
    }
}

impl fmt::Display for ShapeDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected: ParamSpec { name, shape }, found, offset } = self;
        let (layer, blob, key) = (&name.layer, name.kind.caffe_blob(), name.kind.key());
        write!(f, "layer {layer}, blob {blob} ({key}), at byte {offset}: found shape {found:?}, expected {shape:?}")
    }
}

impl fmt::Display for LayerDifferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn shown(lines: impl ExactSizeIterator<Item = String>, more: usize, text: &mut Vec<String>) {
            let more = more + lines.len().saturating_sub(LayerDifferences::SHOWN);
            text.extend(lines.take(LayerDifferences::SHOWN));
            if more > 0 {
                text.push(format!("and {more} more"));
            }
        }
        let mut text = Vec::new();
        shown(self.missing.iter().map(|what| format!("{what} is missing")), 0, &mut text);
        shown(self.different.iter().map(ToString::to_string), 0, &mut text);
        let unexpected = self.unexpected.iter().map(|what| format!("{what} is not part of the network"));
        shown(unexpected, self.unexpected_more, &mut text);
        f.write_str(&text.join("; "))
    }
}
