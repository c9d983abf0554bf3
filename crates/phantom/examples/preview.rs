//! Writes sections of a phantom as PNG: `cargo run --release -p deep3m-phantom --example preview -- DIR [SEED [SIDE]]`.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use deep3m_phantom::{Class, Phantom, PhantomConfig};
use deep3m_volume::{Block, Extent, Region, Voxels};

fn save(path: &Path, block: &Block) -> Result<(), Box<dyn Error>> {
    let Voxels::U8(voxels) = block.voxels() else { return Err("8 bits expected".into()) };
    let mut encoder = png::Encoder::new(File::create(path)?, block.extent().x as u32, block.extent().y as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    Ok(encoder.write_header()?.write_image_data(voxels)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = arguments.first().ok_or("which folder?")?;
    let seed = arguments.get(1).map_or(Ok(1), |s| s.parse())?;
    let side = arguments.get(2).map_or(Ok(512), |s| s.parse())?;
    std::fs::create_dir_all(directory)?;
    let phantom = Phantom::new(PhantomConfig { seed, shape: Extent::new(64, side, side), ..PhantomConfig::default() })?;
    let begin = Instant::now();
    let block = phantom.render(Region::whole(phantom.config().shape))?;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.1} Mvoxel/s", block.images.extent().len() as f64 / seconds / 1e6);
    for class in Class::ALL {
        let labels = block.labels(class).voxels();
        let share = labels.iter().filter(|&v| v > 0).count() as f64 / labels.len() as f64;
        println!("{:13} {:6.2} %", class.volume_name(), 100.0 * share);
    }
    let objects = block.census.objects(phantom.config().voxel_size);
    for class in Class::ALL {
        println!("{:13} {}", class.volume_name(), objects.iter().filter(|o| o.class == class).count());
    }
    for z in [0, 1, 32] {
        let section = Region::section(block.images.extent(), z);
        save(&Path::new(directory).join(format!("{z:02}.png")), &block.images.crop(section))?;
        for class in Class::ALL {
            let name = format!("{z:02}-{}.png", class.volume_name());
            save(&Path::new(directory).join(name), &block.labels(class).crop(section))?;
        }
    }
    Ok(())
}
