//! A picture of meshes: seen from the front, right and above, without perspective, lit from above the left shoulder.

use deep3m_volume::{Region, VoxelSize};

use super::Mesh;
use super::vector::{Vector, cross, dot, length, minus, times};
use crate::picture::{Picture, Rgb};

/// Pixels are the mean of so many by so many.
const FINER: usize = 2;
/// The part of the light that comes from all sides.
const AMBIENT: f64 = 0.35;
const BACKGROUND: Rgb = [255; 3];
/// Empty around the objects, as a share of the picture.
const MARGIN: f64 = 0.04;
/// How far the scene is turned: about the vertical axis, then towards the eye.
const TURN_DEGREES: f64 = 35.0;
const TILT_DEGREES: f64 = 25.0;

/// A picture in the making: what is drawn first or last makes no difference.
pub struct Scene {
    camera: Camera,
    width: usize,
    height: usize,
    /// The depth of the nearest surface, and its object's number: of two as near the lower number is shown.
    nearest: Vec<(f32, u32)>,
    colours: Vec<Rgb>,
}

/// From nm (x right, y down, z away) to pixels and depth.
struct Camera {
    right: Vector,
    down: Vector,
    away: Vector,
    light: Vector,
    pixels_per_nm: f64,
    offset: [f64; 2],
}

impl Scene {
    /// A picture of what is in a box of voxels, at most so many pixels wide and high.
    pub fn new(around: Region, size: VoxelSize, side: usize) -> Self {
        let pitch = [size.x_nm, size.y_nm, size.z_nm];
        let (start, end) = (around.start, around.end());
        let low = [start.x, start.y, start.z];
        let high = [end.x, end.y, end.z];
        let corner = |n: usize| -> Vector {
            std::array::from_fn(|i| pitch[i] * if n >> i & 1 == 0 { low[i] } else { high[i] } as f64)
        };
        let mut camera = Camera::three_quarters();
        let mut spread = [(f64::INFINITY, f64::NEG_INFINITY); 2];
        for corner in (0..8).map(corner) {
            for (spread, at) in spread.iter_mut().zip([dot(corner, camera.right), dot(corner, camera.down)]) {
                *spread = (spread.0.min(at), spread.1.max(at));
            }
        }
        let side = side.clamp(16, 16_384);
        let inner = side as f64 * (1.0 - 2.0 * MARGIN);
        let widest = spread.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
        camera.pixels_per_nm = if widest > 0.0 { inner / widest } else { 1.0 };
        let margin = side as f64 * MARGIN;
        let pixels = |(low, high): (f64, f64)| ((high - low) * camera.pixels_per_nm + 2.0 * margin).ceil() as usize;
        let (width, height) = (pixels(spread[0]).clamp(1, side) * FINER, pixels(spread[1]).clamp(1, side) * FINER);
        camera.pixels_per_nm *= FINER as f64;
        camera.offset = spread.map(|(low, _)| margin * FINER as f64 - low * camera.pixels_per_nm);
        let nearest = vec![(f32::INFINITY, u32::MAX); width * height];
        Self { camera, width, height, nearest, colours: vec![BACKGROUND; width * height] }
    }

    /// The bytes that a picture of this side takes while it is made.
    pub const fn bytes(side: usize) -> u64 {
        (side * side * FINER * FINER * 12) as u64
    }

    /// Draws a mesh of an object.
    pub fn draw(&mut self, id: u32, mesh: &Mesh, colour: Rgb) {
        for triangle in &mesh.triangles {
            let places = triangle.map(|corner| mesh.places[corner as usize].map(f64::from));
            let normal = cross(minus(places[1], places[0]), minus(places[2], places[0]));
            let size = length(normal);
            // What faces away is hidden by the front of the same object.
            if size > 0.0 && dot(normal, self.camera.away) < 0.0 {
                let lit = dot(times(normal, 1.0 / size), self.camera.light).max(0.0);
                let light = AMBIENT + (1.0 - AMBIENT) * lit;
                let shade = colour.map(|c| (f64::from(c) * light).round() as u8);
                self.fill(id, places.map(|place| self.camera.seen(place)), shade);
            }
        }
    }

    /// Fills a triangle of pixels (x, y) and depths.
    fn fill(&mut self, id: u32, [a, b, c]: [Vector; 3], shade: Rgb) {
        let range = |i: usize, size: usize| {
            let (low, high) = (a[i].min(b[i]).min(c[i]), a[i].max(b[i]).max(c[i]));
            // Pixel n has its middle at n + 1/2.
            let first = (low - 0.5).ceil().max(0.0) as usize;
            first..((high - 0.5).floor() + 1.0).clamp(0.0, size as f64) as usize
        };
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        if area == 0.0 {
            return;
        }
        for y in range(1, self.height) {
            for x in range(0, self.width) {
                let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
                let side = |p: Vector, q: Vector| ((q[0] - p[0]) * (py - p[1]) - (q[1] - p[1]) * (px - p[0])) / area;
                let (of_a, of_b, of_c) = (side(b, c), side(c, a), side(a, b));
                if of_a < 0.0 || of_b < 0.0 || of_c < 0.0 {
                    continue;
                }
                let depth = (of_a * a[2] + of_b * b[2] + of_c * c[2]) as f32;
                let at = y * self.width + x;
                if (depth, id) < self.nearest[at] {
                    self.nearest[at] = (depth, id);
                    self.colours[at] = shade;
                }
            }
        }
    }

    /// The picture.
    pub fn picture(&self) -> Picture {
        let (width, height) = (self.width / FINER, self.height / FINER);
        let pixel = |i: usize| -> Rgb {
            let (x, y) = (i % width * FINER, i / width * FINER);
            let mut sum = [0_u32; 3];
            for (dy, dx) in (0..FINER).flat_map(|dy| (0..FINER).map(move |dx| (dy, dx))) {
                let colour = self.colours[(y + dy) * self.width + x + dx];
                sum = std::array::from_fn(|i| sum[i] + u32::from(colour[i]));
            }
            sum.map(|sum| (sum / (FINER * FINER) as u32) as u8)
        };
        Picture::from_pixels(width, height, (0..width * height).map(pixel).collect())
    }
}

impl Camera {
    fn three_quarters() -> Self {
        let (turn, tilt) = (TURN_DEGREES.to_radians(), TILT_DEGREES.to_radians());
        let right = [turn.cos(), 0.0, turn.sin()];
        let flat = [-turn.sin(), 0.0, turn.cos()];
        // From above, what is farther away is higher in the picture.
        let down = [-flat[0] * tilt.sin(), tilt.cos(), -flat[2] * tilt.sin()];
        let away = [flat[0] * tilt.cos(), tilt.sin(), flat[2] * tilt.cos()];
        let mix =
            |r: f64, d: f64, a: f64| -> Vector { std::array::from_fn(|i| r * right[i] + d * down[i] + a * away[i]) };
        let light = mix(-0.4, -0.5, -0.77);
        Self { right, down, away, light: times(light, 1.0 / length(light)), pixels_per_nm: 1.0, offset: [0.0; 2] }
    }

    fn seen(&self, place: Vector) -> Vector {
        [
            dot(place, self.right) * self.pixels_per_nm + self.offset[0],
            dot(place, self.down) * self.pixels_per_nm + self.offset[1],
            dot(place, self.away) * self.pixels_per_nm,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed box in nm.
    fn cuboid(low: [f32; 3], high: [f32; 3]) -> Mesh {
        let places = (0..8).map(|n| std::array::from_fn(|i| if n >> i & 1 == 0 { low[i] } else { high[i] })).collect();
        let sides = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
        let triangles = sides.iter().flat_map(|&[a, b, c, d]| [[a, b, c], [a, c, d]]).collect();
        Mesh { places, triangles }
    }

    #[test]
    fn what_is_in_front_is_seen_whatever_is_drawn_first() {
        let around: Region = "0:20,0:10,0:10".parse().unwrap();
        let size = VoxelSize::new(1.0, 1.0, 1.0).unwrap();
        let front = cuboid([0.0; 3], [10.0, 10.0, 5.0]);
        let behind = cuboid([0.0, 0.0, 10.0], [10.0, 10.0, 20.0]);
        let draw = |order: [(u32, &Mesh, Rgb); 2]| {
            let mut scene = Scene::new(around, size, 200);
            for (id, mesh, colour) in order {
                scene.draw(id, mesh, colour);
            }
            scene.picture()
        };
        let (red, blue) = ((1, &front, [200, 0, 0]), (2, &behind, [0, 0, 200]));
        let picture = draw([red, blue]);
        assert_eq!(picture, draw([blue, red]));
        assert!(picture.width().max(picture.height()) == 200 && picture.height() > 100);
        let count = |of: fn(&Rgb) -> bool| picture.pixels().iter().filter(|pixel| of(pixel)).count();
        let (reds, blues) = (count(|p| p[0] > 20 && p[2] == 0), count(|p| p[2] > 20 && p[0] == 0));
        assert!(blues > 1000 && reds > 3000, "{reds} red, {blues} blue");
        // The front's three visible sides are three shades; corners of the picture stay empty.
        let shades: std::collections::BTreeSet<u8> =
            picture.pixels().iter().filter(|p| p[0] > 0 && p[2] == 0 && p[1] == 0).map(|p| p[0]).collect();
        assert!(shades.len() >= 3, "{shades:?}");
        assert_eq!(picture.pixels()[0], BACKGROUND);
        // Front before behind in the middle of the front's face.
        let lonely = {
            let mut scene = Scene::new(around, size, 200);
            scene.draw(1, &front, [200, 0, 0]);
            scene.picture()
        };
        let hidden = picture.pixels().iter().zip(lonely.pixels()).filter(|(a, b)| **b != BACKGROUND && a != b);
        assert!(hidden.count() < reds / 20, "only at the rim, where pixels are mixed");
    }

    #[test]
    fn a_scene_without_size_is_empty() {
        let around = Region::new(deep3m_volume::Index::new(0, 0, 0), deep3m_volume::Extent::new(0, 0, 0));
        let picture = Scene::new(around, VoxelSize::new(1.0, 1.0, 1.0).unwrap(), 100).picture();
        assert!(picture.pixels().iter().all(|&p| p == BACKGROUND));
    }
}
