//! Draws a section in every style: `cargo run -p deep3m-analyze --example overlays -- DIR IMAGES TRUTH [PREDICTION]`.
//! Without a prediction the truth, moved by 6 pixels, stands for one.

use std::error::Error;
use std::path::Path;

use deep3m_analyze::{Picture, Sources, Style, read_section};
use deep3m_volume::{Block, Region, Volume, VolumeError, VolumeInfo, VoxelType, open};

struct Moved<'a>(&'a dyn Volume, VolumeInfo);

impl Volume for Moved<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.1
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let source = self.0.read(Region::whole(self.1.extent))?;
        let mut all = Block::zeros(self.1.extent, VoxelType::U8);
        let extent = self.1.extent;
        let deep3m_volume::Voxels::U8(voxels) = all.voxels_mut() else { return Ok(source) };
        for (i, v) in voxels.iter_mut().enumerate() {
            let from = i.saturating_sub(6 * extent.x as usize + 6);
            *v = if source.voxels().get(from) > 0 { 255 } else { 0 };
        }
        Ok(all.crop(region))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, images, truth, rest @ ..] = arguments.as_slice() else { return Err("DIR IMAGES TRUTH".into()) };
    let (images, truth) = (open(Path::new(images))?, open(Path::new(truth))?);
    let moved = Moved(truth.as_ref(), truth.info().clone());
    let given = rest.first().map(|p| open(Path::new(p))).transpose()?;
    let prediction: &dyn Volume = given.as_deref().unwrap_or(&moved);
    let sources =
        Sources { images: images.as_ref(), prediction: Some(prediction), truth: Some(truth.as_ref()), threshold: 0.5 };
    let extent = images.info().extent;
    let view = read_section(&sources, Region::section(extent, 0), 1024)?;
    let styles =
        [Style::Raw, Style::Tint, Style::Outline, Style::Truth, Style::Outlines, Style::Agreement, Style::Probability];
    let pictures: Vec<Picture> = styles.iter().map(|&style| view.draw(style)).collect();
    for (style, picture) in styles.iter().zip(&pictures) {
        picture.save(&Path::new(directory).join(format!("{style:?}.png")))?;
    }
    let small: Vec<Picture> = pictures.iter().map(|p| p.crop(0, 0, 400, 400)).collect();
    Picture::montage(&small, 3, 8).save(&Path::new(directory).join("montage.png"))?;
    Ok(())
}
