//! A phantom: any region of it, on demand.

use deep3m_volume::{Block, Extent, Index, Region, Voxels};
use rayon::prelude::*;

use crate::annotator::Annotators;
use crate::camera::Camera;
use crate::scene::Scene;
use crate::section::{self, Fields, WARP_REACH, Window};
use crate::truth::{Census, Class, TrueObject};
use crate::vector::{Bounds, Vec3};
use crate::{PhantomConfig, PhantomError};

/// A synthetic electron-microscopy volume with exact truth.
///
/// Nothing is stored: each voxel is a function of the settings and its place, so regions agree wherever they overlap,
/// and a volume of any size costs the memory of the block that is looked at.
#[derive(Clone, Debug)]
pub struct Phantom {
    config: PhantomConfig,
    fields: Fields,
    camera: Camera,
    annotators: Annotators,
}

/// A region of a phantom, with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomBlock {
    /// 8-bit grey.
    pub images: Block,
    /// 255 in mitochondria, else 0.
    pub mitochondria: Block,
    /// 255 in plasma membranes, else 0.
    pub membranes: Block,
    /// 255 in synaptic vesicles, else 0.
    pub vesicles: Block,
    /// 255 in nuclei, else 0.
    pub nuclei: Block,
    /// 255 in what each annotator took for mitochondria, else 0.
    pub annotators: Vec<Block>,
    /// The objects in the region, with the voxels that they have there.
    pub census: Census,
}

impl PhantomBlock {
    /// The label volume of a class.
    pub const fn labels(&self, class: Class) -> &Block {
        match class {
            Class::Mitochondrion => &self.mitochondria,
            Class::Membrane => &self.membranes,
            Class::Vesicle => &self.vesicles,
            Class::Nucleus => &self.nuclei,
        }
    }
}

/// Voxels that are rendered at once when a phantom is counted or written.
pub(crate) const WORKING_BLOCK: Extent = Extent::new(32, 512, 512);

impl Phantom {
    /// A phantom with these settings.
    ///
    /// # Errors
    /// [`PhantomError::Setting`] for a setting out of its range.
    pub fn new(config: PhantomConfig) -> Result<Self, PhantomError> {
        config.validate()?;
        Ok(Self {
            fields: Fields::new(&config),
            camera: Camera::new(&config),
            annotators: Annotators::new(&config),
            config,
        })
    }

    /// Its settings.
    pub const fn config(&self) -> &PhantomConfig {
        &self.config
    }

    /// The voxels of a region, with their truth. Needs about 20 bytes per voxel of a section on each thread, and 10 per
    /// voxel of the region.
    ///
    /// # Errors
    /// [`PhantomError::OutOfBounds`] for a region that sticks out or has no voxel.
    pub fn render(&self, region: Region) -> Result<PhantomBlock, PhantomError> {
        if !region.fits(self.config.shape) || region.is_empty() {
            return Err(PhantomError::OutOfBounds { region, shape: self.config.shape });
        }
        let scene = Scene::new(&self.config, self.bounds(region));
        let sections: Vec<Section> = (0..region.extent.z)
            .into_par_iter()
            .map(|z| {
                self.section(
                    &scene,
                    Region::new(
                        Index::new(region.start.z + z, region.start.y, region.start.x),
                        Extent::new(1, region.extent.y, region.extent.x),
                    ),
                )
            })
            .collect();
        let mut census = Census::default();
        let mut planes = [const { Vec::new() }; 5];
        let mut drawn = Vec::new();
        for section in sections {
            census.merge(&section.census);
            for (all, plane) in planes.iter_mut().zip(section.planes) {
                all.extend(plane);
            }
            drawn.extend(section.drawn);
        }
        let [images, mitochondria, membranes, vesicles, nuclei] =
            planes.map(|v| Block::new(region.extent, Voxels::U8(v)));
        let annotators = (0..self.config.annotators)
            .map(|a| drawn.iter().map(|d| if d >> a & 1 == 1 { 255 } else { 0 }).collect())
            .map(|mask| Block::new(region.extent, Voxels::U8(mask)))
            .collect();
        Ok(PhantomBlock { images, mitochondria, membranes, vesicles, nuclei, annotators, census })
    }

    /// Every object that has voxels in a region, with what of it lies there.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn objects(&self, region: Region) -> Result<Vec<TrueObject>, PhantomError> {
        let mut census = Census::default();
        for block in region.tiles(WORKING_BLOCK) {
            census.merge(&self.render(block)?.census);
        }
        Ok(census.objects(self.config.voxel_size))
    }

    /// The tissue that a region can show: with blur, jitter and warp.
    fn bounds(&self, region: Region) -> Bounds {
        let size = self.config.voxel_size;
        let place = |at: Index| Vec3::new(at.z as f64 * size.z_nm, at.y as f64 * size.y_nm, at.x as f64 * size.x_nm);
        let (hy, hx) = self.camera.halo();
        let blur = (hy as f64 * size.y_nm).max(hx as f64 * size.x_nm);
        Bounds { low: place(region.start), high: place(region.end()) }
            .grown(WARP_REACH + self.config.section_jitter_nm + blur + 1.0)
    }

    fn section(&self, scene: &Scene, region: Region) -> Section {
        let (hy, hx) = self.camera.halo();
        let (height, width) = (region.extent.y as usize, region.extent.x as usize);
        let window = Window {
            z: region.start.z as i64,
            y: region.start.y as i64 - hy as i64,
            x: region.start.x as i64 - hx as i64,
            height: height + 2 * hy,
            width: width + 2 * hx,
        };
        let tissue = section::draw(&self.config, &self.fields, &self.annotators, scene, window);
        let image = self.camera.image(&tissue.grey, window);
        let mut labels = Class::ALL.map(|_| vec![0; height * width]);
        let mut drawn = Vec::new();
        let mut census = Census::default();
        for y in 0..height {
            if !tissue.drawn.is_empty() {
                drawn.extend_from_slice(&tissue.drawn[(y + hy) * window.width + hx..][..width]);
            }
            let row = &tissue.codes[(y + hy) * window.width + hx..][..width];
            let mut x = 0;
            for run in row.chunk_by(|a, b| a == b) {
                if let Some(key) = scene.key(run[0]) {
                    let start = Index::new(region.start.z, region.start.y + y as u64, region.start.x + x as u64);
                    census.add_run(key, start, run.len() as u64);
                    if let Some(plane) = Class::ALL.iter().position(|&c| c == key.class) {
                        labels[plane][y * width + x..][..run.len()].fill(255);
                    }
                }
                x += run.len();
            }
        }
        let [mitochondria, membranes, vesicles, nuclei] = labels;
        Section { planes: [image, mitochondria, membranes, vesicles, nuclei], drawn, census }
    }
}

#[derive(Debug)]
struct Section {
    planes: [Vec<u8>; 5],
    drawn: Vec<u16>,
    census: Census,
}
