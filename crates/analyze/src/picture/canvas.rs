//! Colour pictures in memory, side by side and as PNG.

use std::path::Path;

use deep3m_volume::fs;

use crate::AnalyzeError;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// A colour picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Picture {
    /// A picture of one colour.
    pub fn filled(width: usize, height: usize, colour: Rgb) -> Self {
        Self { width, height, pixels: vec![colour; width * height] }
    }

    pub(crate) fn from_pixels(width: usize, height: usize, pixels: Vec<Rgb>) -> Self {
        debug_assert_eq!(pixels.len(), width * height);
        Self { width, height, pixels }
    }

    /// Its width in pixels.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Its height in pixels.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Its pixels, row by row.
    pub fn pixels(&self) -> &[Rgb] {
        &self.pixels
    }

    /// Its pixels, row by row, to change.
    pub(crate) fn pixels_mut(&mut self) -> &mut [Rgb] {
        &mut self.pixels
    }

    /// Paints a pixel; one outside the picture is none.
    pub(crate) fn paint(&mut self, row: f64, column: f64, colour: Rgb) {
        if (0.0..self.height as f64).contains(&row) && (0.0..self.width as f64).contains(&column) {
            self.pixels[row as usize * self.width + column as usize] = colour;
        }
    }

    /// The part of the picture from row `top` and column `left`, cut at the picture's border.
    #[must_use]
    pub fn crop(&self, top: usize, left: usize, height: usize, width: usize) -> Self {
        let (top, left) = (top.min(self.height), left.min(self.width));
        let (height, width) = (height.min(self.height - top), width.min(self.width - left));
        let rows = (top..top + height).flat_map(|y| &self.pixels[y * self.width + left..][..width]);
        Self { width, height, pixels: rows.copied().collect() }
    }

    /// Pictures in rows of `columns`, `gap` pixels apart, on white; each cell is as large as the largest picture.
    pub fn montage(pictures: &[Self], columns: usize, gap: usize) -> Self {
        let columns = columns.clamp(1, pictures.len().max(1));
        let rows = pictures.len().div_ceil(columns);
        let cell_width = pictures.iter().map(|p| p.width).max().unwrap_or(0);
        let cell_height = pictures.iter().map(|p| p.height).max().unwrap_or(0);
        let side = |cells: usize, size: usize| (cells * (size + gap)).saturating_sub(gap);
        let mut sheet = Self::filled(side(columns, cell_width), side(rows, cell_height), [255; 3]);
        for (i, picture) in pictures.iter().enumerate() {
            let (top, left) = (i / columns * (cell_height + gap), i % columns * (cell_width + gap));
            for (y, row) in picture.pixels.chunks_exact(picture.width.max(1)).enumerate() {
                sheet.pixels[(top + y) * sheet.width + left..][..picture.width].copy_from_slice(row);
            }
        }
        sheet
    }

    /// The picture as a PNG file in memory.
    ///
    /// # Errors
    /// A picture without a pixel cannot be a PNG.
    pub fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Balanced);
        encoder.write_header()?.write_image_data(self.pixels.as_flattened())?;
        Ok(bytes)
    }

    /// Writes the picture as a PNG file.
    pub fn save(&self, path: &Path) -> Result<(), AnalyzeError> {
        let bytes = self.to_png().map_err(|e| AnalyzeError::Picture { path: path.to_owned(), source: Box::new(e) })?;
        Ok(fs::write_atomic(path, &bytes)?)
    }
}
