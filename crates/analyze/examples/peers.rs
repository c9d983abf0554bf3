//! One measurement on a volume in memory, timed: what `benches/peers/run` compares with other programs.
//!
//!     peers WHAT FILE Z,Y,X [ROUNDS]
//!
//! FILE holds the voxels as they are, row by row: 8-bit masks for components, distance and watershed, 32-bit labels for
//! properties and meshes. Prints JSON: seconds of each round without reading, what was found, and the peak of the memory.

#![allow(clippy::unwrap_used, reason = "a bench may end where it fails")]

use std::time::Instant;

use deep3m_analyze::{
    AnalyzeError, Landscape, MeasureConfig, MeshConfig, MeshMemory, MeshSink, ObjectMesh, SegmentConfig, Watershed,
    measure, mesh, segment, squared_distances_to,
};
use deep3m_volume::{Extent, InMemory, Region, VoxelSize, VoxelType, Voxels, memory};
use rayon as _;

/// Counts what it is given.
#[derive(Default)]
struct Counter {
    triangles: usize,
    area_um2: f64,
}

impl MeshSink for Counter {
    fn begin(&mut self, _: Region, _: usize) -> Result<(), AnalyzeError> {
        Ok(())
    }

    fn take(&mut self, objects: Vec<ObjectMesh>) -> Result<(), AnalyzeError> {
        for level in objects.iter().filter_map(|object| object.levels.first()) {
            self.triangles += level.mesh.triangles.len();
            self.area_um2 += level.area_nm2 / 1e6;
        }
        Ok(())
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [what, file, sides, rest @ ..] = &words[..] else { panic!("peers WHAT FILE Z,Y,X [ROUNDS]") };
    let sides: Vec<u64> = sides.split(',').map(|side| side.parse().unwrap()).collect();
    let extent = Extent::new(sides[0], sides[1], sides[2]);
    let rounds: usize = rest.first().map_or(1, |rounds| rounds.parse().unwrap());
    let size = VoxelSize::new(30.0, 8.0, 8.0).unwrap();
    let bytes = std::fs::read(file).unwrap();
    let volume = || {
        let voxels = match &what[..] {
            "properties" | "meshes" => Voxels::U32(
                bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect(),
            ),
            _ => Voxels::U8(bytes.clone()),
        };
        InMemory::new("volume", extent, voxels).sized(size)
    };
    let (mut seconds, mut found) = (Vec::new(), serde_json::Value::Null);
    let input = (what != "distance").then(volume);
    for _ in 0..rounds {
        let out = matches!(&what[..], "components" | "watershed")
            .then(|| InMemory::new("out", extent, Voxels::zeros(VoxelType::U32, extent.len())));
        let begun = Instant::now();
        found = match (&what[..], &input, &out) {
            ("distance", ..) => {
                let squares = squared_distances_to(&bytes, extent, size);
                serde_json::json!({ "largest_nm": squares.iter().fold(0.0_f32, |a, &b| a.max(b)).sqrt() })
            }
            ("components", Some(volume), Some(out)) => {
                let config = SegmentConfig { level: 1, ..SegmentConfig::default() };
                serde_json::to_value(segment(volume, out, &config, &mut |_, _| true).unwrap()).unwrap()
            }
            ("watershed", Some(volume), Some(out)) => {
                let watershed = Some(Watershed { landscape: Landscape::Distance, h: 16.0 });
                let config = SegmentConfig { level: 1, watershed, ..SegmentConfig::default() };
                serde_json::to_value(segment(volume, out, &config, &mut |_, _| true).unwrap()).unwrap()
            }
            ("properties", Some(volume), _) => {
                let measured = measure(volume, Some(volume), &MeasureConfig::default(), &mut |_| true).unwrap();
                serde_json::json!({ "objects": measured.objects.len() })
            }
            ("meshes", Some(volume), _) => {
                let mut counter = Counter::default();
                let memory = MeshMemory { budget: u64::MAX, held: 0 };
                mesh(volume, size, &MeshConfig::for_voxels(size), memory, &mut counter, &mut |_, _| true).unwrap();
                serde_json::json!({ "triangles": counter.triangles, "area_um2": counter.area_um2 })
            }
            _ => panic!("{what}: expected components, distance, watershed, properties or meshes"),
        };
        seconds.push(begun.elapsed().as_secs_f64());
    }
    println!("{}", serde_json::json!({ "seconds": seconds, "found": found, "peak_bytes": memory::peak() }));
}
