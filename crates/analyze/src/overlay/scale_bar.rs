//! A bar of a round length at the lower right of a picture.

use deep3m_volume::VoxelSize;

use crate::Picture;

/// A bar that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleBar {
    /// Its length in nm: 1, 2 or 5 times a power of ten.
    pub nm: f64,
    /// Its length in pixels.
    pub pixels: usize,
}

impl ScaleBar {
    /// The longest bar of a round length that is at most a quarter of a picture's width, where a pixel is so many nm wide. `None`
    /// where none has ten pixels.
    pub fn fit(width: usize, pixel_nm: f64) -> Option<Self> {
        let longest = width as f64 / 4.0 * pixel_nm;
        if !(longest.is_finite() && longest > 0.0) {
            return None;
        }
        let power = 10_f64.powf(longest.log10().floor());
        let nm = [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|&nm| nm <= longest)?;
        let pixels = (nm / pixel_nm).round() as usize;
        (pixels >= 10).then_some(Self { nm, pixels })
    }

    /// Its length with a unit.
    pub fn text(&self) -> String {
        if self.nm >= 1000.0 { format!("{} µm", self.nm / 1000.0) } else { format!("{} nm", self.nm) }
    }
}

/// Draws a white bar with a black rim at the lower right of a picture that was shrunk by a factor; `None` where there is no
/// room for it.
pub fn scale_bar(picture: &mut Picture, size: VoxelSize, factor: u64) -> Option<ScaleBar> {
    let bar = ScaleBar::fit(picture.width(), size.x_nm * factor as f64)?;
    let (width, height) = (picture.width(), picture.height());
    let thick = (height / 100).max(3);
    let gap = (height / 40).max(4);
    let (bottom, right) = (height.checked_sub(gap)?, width.checked_sub(gap)?);
    let (top, left) = (bottom.checked_sub(thick)?, right.checked_sub(bar.pixels)?);
    if top == 0 || left == 0 {
        return None;
    }
    let pixels = picture.pixels_mut();
    for y in top - 1..=bottom {
        for x in left - 1..=right {
            let rim = y < top || y == bottom || x < left || x == right;
            pixels[y * width + x] = if rim { [0; 3] } else { [255; 3] };
        }
    }
    Some(bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_length_is_round_and_true() {
        for (width, nm, expected) in
            [(512, 8.0, "1 µm"), (512, 5.0, "500 nm"), (2000, 10.0, "5 µm"), (1000, 1.0, "200 nm")]
        {
            let bar = ScaleBar::fit(width, nm).unwrap();
            assert_eq!(bar.text(), expected);
            assert_eq!(bar.pixels, (bar.nm / nm).round() as usize);
        }
        assert!(ScaleBar::fit(20, 8.0).is_none());
        let mut picture = Picture::filled(512, 256, [9; 3]);
        let bar = scale_bar(&mut picture, VoxelSize::new(30.0, 8.0, 8.0).unwrap(), 2).unwrap();
        let white = picture.pixels().iter().filter(|&&p| p == [255; 3]).count();
        assert_eq!(white, bar.pixels * 3);
    }
}
