//! One section of a block: what each voxel shows, and what it is.

use deep3m_volume::VoxelSize;

use crate::annotator::{Annotators, Strokes};
use crate::config::PhantomConfig;
use crate::hash;
use crate::noise::{Columns, Noise};
use crate::organelle::Mitochondrion;
use crate::process::{self, Seed};
use crate::scene::{BACKGROUND, MEMBRANE_REACH, MEMBRANES, Nearby, Scene, soma_id};
use crate::shade::{self, MEMBRANE_HALF, Texture};
use crate::vector::{Bounds, Vec3};

/// A rectangle of pixels of section `z`; may lie outside of the phantom, whose tissue goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) z: i64,
    pub(crate) y: i64,
    pub(crate) x: i64,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// The tissue in a window, sharp and without noise.
#[derive(Debug)]
pub(crate) struct Tissue {
    pub(crate) grey: Vec<f32>,
    /// What each pixel belongs to: a code of the scene.
    pub(crate) codes: Vec<u32>,
    /// Which annotators took each pixel for mitochondrion: a bit for each. Empty where there are none.
    pub(crate) drawn: Vec<u16>,
}

/// What bends space and mottles it.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    /// Per axis a wide and a narrow warp.
    warp: [[Noise; 2]; 3],
    texture: [Noise; 3],
    light: Noise,
    jitter_seed: u64,
}

/// Amplitudes of the wide and the narrow warp, in nm.
const WARP: [f32; 2] = [110.0, 34.0];
/// Farthest that the warp moves a place along an axis.
pub(crate) const WARP_REACH: f64 = 144.0;
/// Side of the square of pixels that share a list of what is near them: at most 256 nm, so that the list is short and
/// holds every seed that matters. Tiles are counted from the volume's first voxel.
fn tile_side(size: VoxelSize) -> i64 {
    ((256.0 / size.y_nm.max(size.x_nm)) as i64).clamp(1, 16)
}

impl Fields {
    pub(crate) fn new(config: &PhantomConfig) -> Self {
        let s = config.seed;
        Self {
            warp: [1, 2, 3].map(|i| [Noise::new(s, 40 + i, 850.0), Noise::new(s, 50 + i, 260.0)]),
            texture: [Noise::new(s, 61, 24.0), Noise::new(s, 62, 70.0), Noise::new(s, 63, 420.0)],
            light: Noise::new(s, 64, 9000.0),
            jitter_seed: hash::stream(s, 65),
        }
    }

    /// How far section `z` was moved in y and x, in nm.
    fn jitter(&self, config: &PhantomConfig, z: i64) -> (f64, f64) {
        let shift =
            |axis: i64| (hash::unit(hash::at(self.jitter_seed, z, axis, 0)) * 2.0 - 1.0) * config.section_jitter_nm;
        (shift(1), shift(2))
    }
}

/// A row of pixels: where each looks into the warped tissue, and its noise.
#[derive(Debug)]
struct Row {
    y: i64,
    places: Vec<Vec3>,
    textures: Vec<Texture>,
    light: Vec<f32>,
}

impl Row {
    fn new(fields: &Fields, z_nm: f64, y_nm: f64, columns: Columns, width: usize, y: i64) -> Self {
        let row = |noises: &[(Noise, f32)]| {
            let mut out = vec![0.0; width];
            for (noise, amplitude) in noises {
                noise.add_row(z_nm, y_nm, columns, *amplitude, &mut out);
            }
            out
        };
        let [wz, wy, wx] = fields.warp.map(|[wide, narrow]| row(&[(wide, WARP[0]), (narrow, WARP[1])]));
        let [fine, middle, coarse] = fields.texture.map(|t| row(&[(t, 1.0)]));
        let place =
            |i: usize| Vec3::new(z_nm + f64::from(wz[i]), y_nm + f64::from(wy[i]), columns.x(i) + f64::from(wx[i]));
        Self {
            y,
            places: (0..width).map(place).collect(),
            textures: (0..width).map(|i| Texture { fine: fine[i], middle: middle[i], coarse: coarse[i] }).collect(),
            light: row(&[(fields.light, 1.0)]),
        }
    }

    /// The box that the given pixels of all rows look into.
    fn bounds(rows: &[Self], pixels: std::ops::Range<usize>) -> Bounds {
        let low = Vec3::new(f64::INFINITY, f64::INFINITY, f64::INFINITY);
        rows.iter().flat_map(|r| &r.places[pixels.clone()]).fold(Bounds { low, high: low * -1.0 }, |b, p| Bounds {
            low: Vec3::new(b.low.z.min(p.z), b.low.y.min(p.y), b.low.x.min(p.x)),
            high: Vec3::new(b.high.z.max(p.z), b.high.y.max(p.y), b.high.x.max(p.x)),
        })
    }
}

/// Draws the tissue of a window.
pub(crate) fn draw(
    config: &PhantomConfig,
    fields: &Fields,
    annotators: &Annotators,
    scene: &Scene,
    window: Window,
) -> Tissue {
    let n = window.height * window.width;
    let drawn = vec![0; if annotators.is_empty() { 0 } else { n }];
    let mut tissue = Tissue { grey: vec![0.0; n], codes: vec![BACKGROUND; n], drawn };
    let (jy, jx) = fields.jitter(config, window.z);
    let size = config.voxel_size;
    let z_nm = window.z as f64 * size.z_nm;
    let columns = Columns { first: window.x, pitch: size.x_nm, offset: jx };
    let y_nm = |y: i64| y as f64 * size.y_nm + jy;
    let (bottom, right) = (window.y + window.height as i64, window.x + window.width as i64);
    let near_section = scene.all().within(
        Bounds {
            low: Vec3::new(z_nm, y_nm(window.y), columns.x(0)),
            high: Vec3::new(z_nm, y_nm(bottom), columns.x(window.width)),
        }
        .grown(WARP_REACH),
    );
    let mut seeds = Vec::new();
    let tile = tile_side(size);
    for tile_y in window.y.div_euclid(tile)..=(bottom - 1).div_euclid(tile) {
        let rows = (tile_y * tile).max(window.y)..((tile_y + 1) * tile).min(bottom);
        let rows: Vec<Row> = rows.map(|y| Row::new(fields, z_nm, y_nm(y), columns, window.width, y)).collect();
        let near_rows = near_section.within(Row::bounds(&rows, 0..window.width));
        for tile_x in window.x.div_euclid(tile)..=(right - 1).div_euclid(tile) {
            let across = (tile_x * tile).max(window.x)..((tile_x + 1) * tile).min(right);
            let pixels = (across.start - window.x) as usize..(across.end - window.x) as usize;
            let bounds = Row::bounds(&rows, pixels.clone());
            let near = near_rows.within(bounds);
            let middle = |number: i64, pitch: f64| (number * tile + tile / 2) as f64 * pitch;
            let anchor = Vec3::new(z_nm, middle(tile_y, size.y_nm), middle(tile_x, size.x_nm));
            scene.processes.candidates(anchor, bounds.centre(), bounds.radius(), &mut seeds);
            for row in &rows {
                let line = (row.y - window.y) as usize * window.width;
                let strokes = Strokes::new(annotators, window.z, y_nm(row.y), columns, pixels.clone());
                for i in pixels.clone() {
                    let (grey, code) = voxel(config, &seeds, &near, row.places[i], row.textures[i]);
                    tissue.grey[line + i] = grey * (1.0 + 0.05 * row.light[i]);
                    tissue.codes[line + i] = code;
                    if let Some(drawn) = tissue.drawn.get_mut(line + i) {
                        *drawn = strokes.at(&near, row.places[i], i - pixels.start);
                    }
                }
            }
        }
    }
    tissue
}

/// What a voxel shows and what it belongs to.
fn voxel(config: &PhantomConfig, seeds: &[Seed], near: &Nearby, p: Vec3, t: Texture) -> (f32, u32) {
    let mut place = process::nearest(seeds.iter(), p);
    for n in &near.nuclei {
        let d = n.body.distance(p);
        place.claim(soma_id(n), d - n.gap);
        if d < 0.0 {
            return (shade::nucleus(150.0, n, d, t), n.code);
        }
    }
    for m in &near.myelin {
        let d = m.spine.distance(p);
        if d < 0.0 {
            return (shade::myelin(60.0, m, d, t), BACKGROUND);
        }
        place.claim(m.id, d);
    }
    let mut closest: Option<(f64, &Mitochondrion)> = None;
    for m in &near.mitochondria {
        let d = m.spine.distance(p);
        place.claim(m.host, d - m.gap);
        if closest.is_none_or(|c| d < c.0) {
            closest = Some((d, m));
        }
    }
    let mut grey = shade::cytoplasm(place, 0.09 * config.distractors, t);
    let mut code = BACKGROUND;
    for s in &near.stacks {
        let d = s.body.distance(p);
        if d < 0.0 && s.host == place.process {
            grey = shade::stack(grey, (p - s.body.centre).dot(s.normal), s.spacing, d, t);
        }
    }
    for n in &near.nuclei {
        let d = n.body.distance(p);
        if d < 12.0 {
            grey = shade::nucleus(grey, n, d, t);
        }
    }
    for l in &near.lysosomes {
        let d = l.body.distance(p);
        if d < 12.0 {
            grey = shade::lysosome(grey, l, d, t);
        }
    }
    for v in &near.vesicles {
        let d = p.distance(v.centre) - v.radius;
        if d < 12.0 {
            grey = shade::vesicle(grey, v, d);
            if d < 0.0 {
                code = v.code;
            }
        }
    }
    if let Some((d, m)) = closest.filter(|c| c.0 < 15.0) {
        grey = shade::mitochondrion(grey, m, d, p, t);
        if d < 0.0 {
            return (grey, m.code);
        }
    }
    if place.border < MEMBRANE_REACH {
        grey = shade::membrane(grey, place.border, t);
        if place.border < MEMBRANE_HALF && code == BACKGROUND {
            code = MEMBRANES;
        }
    }
    (grey, code)
}
