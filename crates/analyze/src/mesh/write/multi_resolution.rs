//! Neuroglancer's multi-resolution meshes:
//! <https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/meshes.md>.
//!
//! The coarsest level is one piece, each finer one has pieces of half its size. A level's triangles are cut at the planes of its
//! pieces and, as the viewer shows a part of a piece where a finer one is there, half-way between them.

use std::collections::HashMap;

use super::draco;
use super::octree::Cut;
use crate::mesh::{Level, ObjectMesh};

/// Corners are counted in 65535ths of a piece.
const BITS: u32 = 16;
const STEPS: f64 = 65_535.0;

pub(super) fn info() -> String {
    serde_json::json!({
        "@type": "neuroglancer_multilod_draco",
        "vertex_quantization_bits": BITS,
        "transform": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
        "lod_scale_multiplier": 1,
    })
    .to_string()
}

/// The manifest and the pieces of an object.
pub(super) fn encode(object: &ObjectMesh) -> (Vec<u8>, Vec<u8>) {
    let levels = object.levels.len() as u32;
    let (low, high) = bounds(&object.levels);
    // Pieces of the finest level along each axis.
    let cells = 1_u32 << levels.saturating_sub(1);
    // A little more than the object, so that rounding to 32 bits leaves nothing outside.
    let margin: [f64; 3] = std::array::from_fn(|i| 1e-6 * low[i].abs().max(high[i].abs()) + 1e-3);
    let origin: [f32; 3] = std::array::from_fn(|i| (low[i] - margin[i]) as f32);
    let shape: [f32; 3] =
        std::array::from_fn(|i| ((high[i] + 2.0 * margin[i] - f64::from(origin[i])) / f64::from(cells)) as f32);
    let mut fragments = Vec::new();
    let mut lists: Vec<Vec<([u32; 3], u32)>> = Vec::new();
    for (number, level) in object.levels.iter().enumerate() {
        // Coarse pieces are cut half-way, the finest are not.
        let coarser = if number == 0 { 1 } else { 2 };
        let planes = cells >> number.saturating_sub(1);
        let width = f64::from(1_u32 << number.saturating_sub(1));
        let cut = Cut::new(&level.mesh, origin.map(f64::from), shape.map(|side| f64::from(side) * width), planes);
        let last = (cells >> number).saturating_sub(1);
        let pieces = cut.by_cell(coarser, last).into_iter().map(|(cell, triangles)| {
            let bytes = piece(&cut, cell.0, coarser, &triangles);
            let size = bytes.len() as u32;
            fragments.extend(bytes);
            (cell.0, size)
        });
        lists.push(pieces.collect());
    }
    let mut index: Vec<u8> = shape.iter().chain(&origin).flat_map(|v| v.to_le_bytes()).collect();
    index.extend(levels.to_le_bytes());
    index.extend(scales(&object.levels).into_iter().flat_map(f32::to_le_bytes));
    index.extend((0..3 * levels).flat_map(|_| 0.0_f32.to_le_bytes()));
    index.extend(lists.iter().flat_map(|list| (list.len() as u32).to_le_bytes()));
    for list in &lists {
        index.extend((0..3).flat_map(|i| list.iter().flat_map(move |(cell, _)| cell[i].to_le_bytes())));
        index.extend(list.iter().flat_map(|(_, size)| size.to_le_bytes()));
    }
    (index, fragments)
}

/// The scale of each level in nm. The viewer shows a level where its scale is at most ten pixels (unless told otherwise):
/// with eight times its error, it is off by a pixel and a quarter at most.
fn scales(levels: &[Level]) -> Vec<f32> {
    let mut last = 0.0;
    let scale = |level: &Level| {
        last = (8.0 * level.error_nm as f32).max(1.001 * last).max(1e-3);
        last
    };
    levels.iter().map(scale).collect()
}

/// A piece as Draco. Corners stay apart even where their places are the same, so that the surface stays closed.
fn piece(cut: &Cut, cell: [u32; 3], coarser: u32, triangles: &[[u32; 3]]) -> Vec<u8> {
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    let mut corners: Vec<[u16; 3]> = Vec::new();
    let mut number = |corner: u32| {
        *numbers.entry(corner).or_insert_with(|| {
            let place = cut.places[corner as usize];
            let step = |i: usize| (place[i] / f64::from(coarser) - f64::from(cell[i])) * STEPS;
            // A half is rounded up: the plane half-way is then where the viewer has it, 32768.
            corners.push(std::array::from_fn(|i| (step(i) + 0.5).floor().clamp(0.0, STEPS) as u16));
            corners.len() as u32 - 1
        })
    };
    let triangles: Vec<[u32; 3]> = triangles.iter().map(|triangle| triangle.map(&mut number)).collect();
    draco::encode(&corners, &triangles)
}

fn bounds(levels: &[Level]) -> ([f64; 3], [f64; 3]) {
    let places = levels.iter().flat_map(|level| &level.mesh.places);
    places.fold(([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]), |(low, high), place| {
        (
            std::array::from_fn(|i| low[i].min(f64::from(place[i]))),
            std::array::from_fn(|i| high[i].max(f64::from(place[i]))),
        )
    })
}
