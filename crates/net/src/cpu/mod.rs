//! The network's two kinds of layers in training on the CPU: convolution or head, batch normalisation and ReLU as one operation.
//!
//! The tensor library takes one pass over memory for each of about twenty small steps of such a layer; a narrow network
//! spends most of its time there. Here a layer is one matrix product per band of rows that fits the cache, and two
//! passes for the normalisation, forward and backward. On other devices, and as a check in tests, the same layers run as
//! the library's operations.
//!
//! Every sum has a fixed order that depends on the layer's shape alone: results are the same, bit for bit, whatever the
//! number of threads, and an input's result does not depend on the others in its batch.

mod conv;
mod gradient;
mod head;
mod matrix;
mod normal;

pub(crate) use gradient::{Normalised, conv_norm, head_norm};

/// Floats of a band's unfolded input: 512 kB, half of a core's own cache.
const BAND: usize = 1 << 17;

/// Pixels of a band, at least: fewer would read a wide layer's weights too often.
const BAND_PIXELS: usize = 256;

/// How many rows of `columns` pixels make a band, if each pixel takes `values` floats.
pub(crate) fn band_rows(values: usize, columns: usize) -> usize {
    (BAND / (values * columns)).max(BAND_PIXELS.div_ceil(columns))
}
