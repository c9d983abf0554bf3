//! Objects as surfaces of triangles: closed, smooth, with few triangles, in nanometres.

mod assemble;
mod extract;
mod finish;
mod lattice;
mod relax;
mod scene;
mod schedule;
mod simplify;
mod survey;
mod table;
#[cfg(test)]
mod tests;
mod vector;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deep3m_volume::{Extent, Place, Region, Volume, VolumeError, VoxelSize, memory};
use rayon::prelude::*;

use crate::AnalyzeError;
use crate::walk::{Part, Walk};
pub use scene::Scene;
pub use write::{FileOfMeshes, FolderOfMeshes, MeshFormat};

use extract::{Piece, extract};
use finish::Finish;
use lattice::{Lattice, lattice_points, numbers};
use schedule::{Grid, OPEN_BYTES, Pass, WORK_BYTES, passes};
use survey::{Found, HALO, VOXEL_BYTES, survey};

/// How meshes are made.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshConfig {
    /// The part that is looked at; `None` is all of it. Objects are closed at its border.
    pub region: Option<Region>,
    /// The objects; `None` are all.
    pub ids: Option<BTreeSet<u32>>,
    /// Smaller objects are left out.
    pub min_voxels: u64,
    /// How often corners are drawn to their neighbours and back; 0 leaves the steps of the voxels.
    pub smooth: u32,
    /// How far in nm the surface may move when triangles are saved; 0 saves none.
    pub max_error_nm: f64,
    /// Levels of detail at most, each with twice the error of the finer one.
    pub levels: u32,
}

impl MeshConfig {
    /// The settings that suit a size of voxels: smoothing that takes away the steps of thick sections, too, and an error
    /// of a quarter of the smallest side of a voxel.
    pub fn for_voxels(size: VoxelSize) -> Self {
        let sides = [size.z_nm, size.y_nm, size.x_nm];
        let (least, most) = sides.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), &side| (l.min(side), m.max(side)));
        let smooth = (12.0 * most / least).round().clamp(12.0, 60.0) as u32;
        Self { region: None, ids: None, min_voxels: 1, smooth, max_error_nm: least / 4.0, levels: 1 }
    }
}

/// A surface of triangles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mesh {
    /// Corners (x, y, z) in nm; voxel n of the volume goes from n to n + 1 voxel sizes.
    pub places: Vec<[f32; 3]>,
    /// Triangles by places, counter-clockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
}

/// One level of detail.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// The surface.
    pub mesh: Mesh,
    /// Its area.
    pub area_nm2: f64,
    /// The volume that it encloses.
    pub volume_nm3: f64,
    /// How far the farthest corner of the surface before triangles were saved is from this one.
    pub error_nm: f64,
}

/// An object's meshes.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectMesh {
    /// The object's number.
    pub id: u32,
    /// Its voxels.
    pub voxels: u64,
    /// The finest level, and coarser ones.
    pub levels: Vec<Level>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshStep {
    /// Looking which objects there are, and how large.
    Survey,
    /// Making surfaces. Of blocks without objects nothing is heard.
    Surfaces,
}

/// Where the meshes go.
pub trait MeshSink {
    /// Hears the box (in voxels of the volume) that holds all objects, and how many there are, before the first.
    ///
    /// # Errors
    /// What cannot be begun.
    fn begin(&mut self, around: Region, objects: usize) -> Result<(), AnalyzeError>;
    /// Takes some objects. They come when their last blocks are done, in no order that means something.
    ///
    /// # Errors
    /// What cannot be written or held.
    fn take(&mut self, objects: Vec<ObjectMesh>) -> Result<(), AnalyzeError>;
}

/// The memory of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshMemory {
    /// All that may be taken.
    pub budget: u64,
    /// What the volume's cache and the sink hold of it.
    pub held: u64,
}

/// Makes the meshes of the objects of a label volume and hands them to a sink.
///
/// The volume is read twice: for the sizes of the objects, and for their surfaces. Each object is finished and handed on
/// when its last block is read. Where the surfaces that are open at a time would take more than the budget, the objects are made in
/// several passes. The meshes do not depend on blocks, threads or memory.
///
/// # Errors
/// [`AnalyzeError::Interrupted`] when told to stop; [`AnalyzeError::Memory`] for a budget that does not hold the largest object;
/// what reading and the sink met.
pub fn mesh(
    volume: &dyn Volume,
    size: VoxelSize,
    config: &MeshConfig,
    memory: MeshMemory,
    sink: &mut dyn MeshSink,
    progress: &mut dyn FnMut(MeshStep, u64) -> bool,
) -> Result<(), AnalyzeError> {
    let region = part(volume, config)?;
    let walk = Walk::fit(volume.info(), region, HALO, VOXEL_BYTES, memory.held, memory.budget)?;
    let objects = survey_of(volume, &walk, config, progress)?;
    let largest = objects.values().map(|found| found.corners).max().unwrap_or(0);
    let least = largest.saturating_mul(OPEN_BYTES + WORK_BYTES);
    let total: u64 = objects.values().map(|found| found.corners).sum();
    let whole = total.saturating_mul(OPEN_BYTES + WORK_BYTES).min(memory::room(memory.budget) / 2);
    let fit = |kept: u64| {
        let kept = kept.saturating_add(memory.held);
        Walk::fit(volume.info(), region, HALO, VOXEL_BYTES, kept, memory.budget)
    };
    let walk = fit(whole.max(least)).or_else(|_| fit(least))?;
    let room = memory::room(memory.budget).saturating_sub(walk.peak(volume.info(), VOXEL_BYTES) + memory.held);
    mesh_in_blocks(volume, size, config, &walk, &objects, room, sink, progress)
}

/// The part of the volume that is looked at.
fn part(volume: &dyn Volume, config: &MeshConfig) -> Result<Region, AnalyzeError> {
    let info = volume.info();
    let region = config.region.unwrap_or(Region::whole(info.extent));
    if !region.fits(info.extent) {
        return Err(VolumeError::OutOfBounds { place: Place::file(&info.path), region, extent: info.extent }.into());
    }
    if !info.voxel_type.is_unsigned() {
        return Err(AnalyzeError::NotLabels { path: info.path.clone(), found: info.voxel_type });
    }
    Ok(region)
}

fn survey_of(
    volume: &dyn Volume,
    walk: &Walk,
    config: &MeshConfig,
    progress: &mut dyn FnMut(MeshStep, u64) -> bool,
) -> Result<BTreeMap<u32, Found>, AnalyzeError> {
    let mut go_on = |voxels| progress(MeshStep::Survey, voxels);
    let mut objects = survey(volume, walk, config.ids.as_ref(), &mut go_on)?;
    objects.retain(|_, found| found.voxels >= config.min_voxels.max(1));
    // Corners and triangles are numbered in 32 bits.
    match objects.iter().find(|(_, found)| found.corners > u64::from(u32::MAX) / 8) {
        Some((id, found)) => Err(AnalyzeError::Setting {
            name: "surface",
            found: format!("object {id} with {} corners", found.corners),
            expected: "at most 536 million corners: take a coarser resolution level, or --region".into(),
        }),
        None => Ok(objects),
    }
}

#[allow(clippy::too_many_arguments, reason = "what a run is made of; called in two places")]
fn mesh_in_blocks(
    volume: &dyn Volume,
    size: VoxelSize,
    config: &MeshConfig,
    walk: &Walk,
    objects: &BTreeMap<u32, Found>,
    room: u64,
    sink: &mut dyn MeshSink,
    progress: &mut dyn FnMut(MeshStep, u64) -> bool,
) -> Result<(), AnalyzeError> {
    let points = lattice_points(walk.region.extent).ok_or_else(|| AnalyzeError::Setting {
        name: "volume",
        found: walk.region.extent.to_string(),
        expected: "fewer than 2⁶² voxels".into(),
    })?;
    let start = numbers(walk.region.start);
    let Some(inside) = survey::extent(objects.values()) else {
        return sink.begin(Region::new(walk.region.start, Extent::new(0, 0, 0)), 0);
    };
    let corner = numbers(inside.start);
    let around = deep3m_volume::Index::new(corner[0] + start[0], corner[1] + start[1], corner[2] + start[2]);
    sink.begin(Region::new(around, inside.extent), objects.len())?;
    let finish = Finish { config, size, points, start };
    // One object at a time must fit; half for several.
    let largest = objects.values().map(|found| found.corners * WORK_BYTES).max().unwrap_or(0);
    let work = largest.max(room / 2);
    for pass in passes(objects, &Grid::new(walk), room.saturating_sub(work)) {
        run_pass(volume, walk, objects, &pass, &finish, work, sink, &mut |voxels| {
            progress(MeshStep::Surfaces, voxels)
        })?;
    }
    Ok(())
}

/// An object whose pieces are all there.
type Whole = (u32, Vec<Piece>);

#[allow(clippy::too_many_arguments, reason = "what a pass is made of; called in one place")]
fn run_pass(
    volume: &dyn Volume,
    walk: &Walk,
    objects: &BTreeMap<u32, Found>,
    pass: &Pass,
    finish: &Finish<'_>,
    work: u64,
    sink: &mut dyn MeshSink,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    let mut open: HashMap<u32, Vec<Piece>> = HashMap::new();
    let mut whole: Vec<Whole> = Vec::new();
    let parts: Vec<Part> = walk.parts().collect();
    let (mut done, at_once) = (Vec::new(), walk.at_once.max(1));
    for (batch, (parts, needed)) in parts.chunks(at_once).zip(pass.needed.chunks(at_once)).enumerate() {
        let parts: Vec<Part> = parts.iter().zip(needed).filter(|(_, needed)| **needed).map(|(&part, _)| part).collect();
        let cut = |part: &Part| {
            let lattice = Lattice::new(walk.region, *part, &volume.read(part.around)?);
            Ok(extract(&lattice, finish.points, Some(&pass.wanted)))
        };
        // What became whole with the last blocks is finished while the next ones are read.
        let ready = std::mem::take(&mut whole);
        let (pieces, finished) = rayon::join(
            || parts.par_iter().map(cut).collect::<Result<Vec<Vec<Piece>>, AnalyzeError>>(),
            || finish_all(ready, objects, finish, work),
        );
        sink.take(finished)?;
        for piece in pieces?.into_iter().flatten() {
            open.entry(piece.id).or_default().push(piece);
        }
        for &id in pass.whole_after.get(&(batch as u64)).into_iter().flatten() {
            whole.extend(open.remove(&id).map(|pieces| (id, pieces)));
        }
        done.extend(parts.iter().map(|part| part.core.extent.len() as u64));
        if !progress(done.drain(..).sum()) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    sink.take(finish_all(whole, objects, finish, work))
}

/// Finishes objects, as many at a time as the memory for work holds.
fn finish_all(
    mut whole: Vec<Whole>,
    objects: &BTreeMap<u32, Found>,
    finish: &Finish<'_>,
    work: u64,
) -> Vec<ObjectMesh> {
    let found = |id: &u32| objects.get(id).map_or((0, 0), |found| (found.corners, found.voxels));
    // The largest first, so that none is left alone at the end.
    whole.sort_by_key(|(id, _)| (std::cmp::Reverse(found(id)), *id));
    let mut finished = Vec::with_capacity(whole.len());
    let mut waiting = whole.into_iter().peekable();
    while waiting.peek().is_some() {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while let Some((id, _)) = waiting.peek() {
            bytes += found(id).0 * WORK_BYTES;
            if bytes > work && !some.is_empty() {
                break;
            }
            some.extend(waiting.next());
        }
        finished.par_extend(some.into_par_iter().map(|(id, pieces)| finish.object(id, found(&id).1, pieces)));
    }
    finished
}
