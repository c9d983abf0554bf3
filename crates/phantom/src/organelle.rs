//! The organelles, each made from a hash of its lattice cell, and the rules by which they keep clear of each other.

use crate::config::PhantomConfig;
use crate::grid::{Cell, Grid};
use crate::hash::{self, Draw};
use crate::process::Course;
use crate::shape::{Ellipsoid, Spine};
use crate::truth::{Class, ObjectKey};
use crate::vector::{Bounds, Vec3};

/// A nucleus with the cell body around it.
#[derive(Clone, Debug)]
pub(crate) struct Nucleus {
    pub(crate) key: ObjectKey,
    /// Its number in the scene; see [`crate::scene::Scene::key`].
    pub(crate) code: u32,
    pub(crate) body: Ellipsoid,
    /// Cytoplasm between nucleus and plasma membrane.
    pub(crate) gap: f64,
}

/// A myelinated axon.
#[derive(Clone, Debug)]
pub(crate) struct Myelin {
    pub(crate) id: u64,
    /// The outer surface of the sheath.
    pub(crate) spine: Spine,
    /// Thickness of the sheath.
    pub(crate) sheath: f64,
}

/// A mitochondrion with the process around it.
#[derive(Clone, Debug)]
pub(crate) struct Mitochondrion {
    pub(crate) key: ObjectKey,
    /// Its number in the scene; see [`crate::scene::Scene::key`].
    pub(crate) code: u32,
    pub(crate) spine: Spine,
    /// Cytoplasm between it and the plasma membrane, at least.
    pub(crate) gap: f64,
    /// Grey value of the matrix.
    pub(crate) matrix: f32,
    /// Contrast of the cristae.
    pub(crate) cristae: f32,
    /// Across the lamellae.
    pub(crate) normal: Vec3,
    /// Distance between lamellae.
    pub(crate) spacing: f64,
    /// The process that it lies in; found when all processes are known.
    pub(crate) host: u64,
    /// Its hash: the lower of two that meet stays.
    pub(crate) rank: u64,
}

/// Something round and dark that is no mitochondrion: a lysosome, a dense body.
#[derive(Clone, Debug)]
pub(crate) struct Lysosome {
    pub(crate) body: Ellipsoid,
    pub(crate) grey: f32,
    pub(crate) mottle: f32,
}

/// A stack of flat cisternae (endoplasmic reticulum, Golgi apparatus).
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) body: Ellipsoid,
    pub(crate) normal: Vec3,
    pub(crate) spacing: f64,
    pub(crate) host: u64,
}

/// A group of synaptic vesicles.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) cell: Cell,
    pub(crate) centre: Vec3,
    pub(crate) radius: f64,
}

/// A synaptic vesicle.
#[derive(Clone, Debug)]
pub(crate) struct Vesicle {
    pub(crate) key: ObjectKey,
    /// Its number in the scene; see [`crate::scene::Scene::key`].
    pub(crate) code: u32,
    pub(crate) centre: Vec3,
    pub(crate) radius: f64,
}

/// Lattice pitches in nm: one site per cell.
const NUCLEUS_PITCH: f64 = 3000.0;
const MYELIN_PITCH: f64 = 2000.0;
const MITOCHONDRION_PITCH: f64 = 595.0;
const LYSOSOME_PITCH: f64 = 850.0;
const STACK_PITCH: f64 = 1300.0;
const CLUSTER_PITCH: f64 = 900.0;

/// Nearest that two mitochondria come, in nm: more than two pixels, so that they are two objects in the truth.
const MITOCHONDRION_GAP: f64 = 45.0;
/// Half of the longest mitochondrion with its ends.
const MITOCHONDRION_REACH: f64 = 860.0;
/// Mitochondria further apart than this many lattice cells cannot touch: 3 · 595 nm > 2 · 860 + 45 nm.
const MITOCHONDRION_RING: i64 = 3;
/// Mitochondria are placed in rounds, each into the space that the rounds before left.
const ROUNDS: u64 = 5;

fn jittered(cell: Cell, pitch: f64, jitter: f64, draw: &mut Draw) -> Vec3 {
    let mut axis = || 0.5 + draw.between(-jitter, jitter) / pitch;
    cell.corner(pitch) + Vec3::new(axis(), axis(), axis()) * pitch
}

/// The nuclei that come near a box. Jitter and size leave them room, so that none meet.
pub(crate) fn nuclei(config: &PhantomConfig, bounds: Bounds) -> Vec<Nucleus> {
    let stream = hash::stream(config.seed, 31);
    let make = |c: Cell| {
        let mut draw = Draw::new(hash::at(stream, c.z, c.y, c.x));
        let lot = draw.unit();
        let centre = jittered(c, NUCLEUS_PITCH, 300.0, &mut draw);
        let occupied = lot < config.nuclei_at(centre.y);
        let r = draw.between(560.0, 800.0);
        let mut axis = || r * draw.between(0.85, 1.15);
        let radii = Vec3::new(axis(), axis(), axis());
        let gap = draw.between(160.0, 260.0);
        occupied.then_some(Nucleus {
            key: ObjectKey::new(Class::Nucleus, c, 0),
            code: 0,
            body: Ellipsoid { centre, radii },
            gap,
        })
    };
    let all = Grid::over(bounds.grown(1600.0), NUCLEUS_PITCH, 0, make);
    all.into_items().into_iter().flatten().collect()
}

/// The myelinated axons that come near a box.
pub(crate) fn myelin(config: &PhantomConfig, course: &Course, bounds: Bounds) -> Vec<Myelin> {
    const REACH: f64 = 2000.0;
    let stream = hash::stream(config.seed, 32);
    let make = |c: Cell| {
        let id = hash::at(stream, c.z, c.y, c.x);
        let mut draw = Draw::new(id);
        let occupied = draw.chance(config.distractors);
        let centre = jittered(c, MYELIN_PITCH, 650.0, &mut draw);
        let half = course.direction(centre, 0.3, &mut draw) * draw.between(700.0, 1200.0);
        let bend = draw.direction() * draw.between(0.0, 400.0);
        let outer = draw.between(280.0, 520.0);
        let radii = std::array::from_fn(|_| outer * draw.between(0.92, 1.05));
        let sheath = outer * draw.between(0.22, 0.42);
        occupied.then(|| Myelin { id, spine: Spine::curve(centre, half, bend, radii), sheath })
    };
    // Of two that meet the one with the smaller hash stays.
    let all = Grid::over(bounds.grown(REACH), MYELIN_PITCH, 2, make);
    let items = all.items();
    let stays = |i: usize, m: &Myelin| {
        all.around_item(i, 2)
            .filter_map(|j| items[j].as_ref())
            .all(|o| o.id >= m.id || !m.spine.closer_than(&o.spine, 80.0))
    };
    let near = bounds.grown(REACH);
    let nuclei = nuclei(config, near);
    items
        .iter()
        .enumerate()
        .filter_map(|(i, m)| m.as_ref().filter(|m| all.is_inner(i, 2) && stays(i, m)))
        .filter(|m| nuclei.iter().all(|n| m.spine.distance(n.body.centre) > n.body.reach() + n.gap + 60.0))
        .filter(|m| bounds.meets(m.spine.centre(), m.spine.reach()))
        .cloned()
        .collect()
}

fn mitochondrion(config: &PhantomConfig, course: &Course, stream: u64, c: Cell) -> Option<Mitochondrion> {
    let rank = hash::at(stream, c.z, c.y, c.x);
    let mut draw = Draw::new(rank);
    if !draw.chance(config.mitochondria) {
        return None;
    }
    let centre = jittered(c, MITOCHONDRION_PITCH, 0.5 * MITOCHONDRION_PITCH, &mut draw);
    let along = course.direction(centre, 0.55, &mut draw);
    let radius = draw.between(120.0, 200.0) + if draw.chance(0.25) { draw.between(0.0, 60.0) } else { 0.0 };
    // Many short ones, some long: the square leans to the short side.
    let t = draw.unit();
    let half = 60.0 + 480.0 * t;
    let bend = along.cross(draw.direction()).unit() * (half * draw.between(0.0, 0.7));
    let radii = std::array::from_fn(|_| radius * draw.between(0.88, 1.06));
    let spine = Spine::curve(centre, along * half, bend, radii);
    debug_assert!(spine.reach() < MITOCHONDRION_REACH);
    let tilt = if draw.chance(0.75) { along } else { along.cross(draw.direction()).unit() };
    Some(Mitochondrion {
        key: ObjectKey::new(Class::Mitochondrion, c, 0),
        code: 0,
        spine,
        gap: draw.between(45.0, 120.0),
        matrix: draw.between(58.0, 88.0) as f32,
        cristae: draw.between(7.0, 20.0) as f32,
        normal: (tilt + draw.direction() * 0.35).unit(),
        spacing: draw.between(46.0, 68.0),
        host: 0,
        rank,
    })
}

/// The mitochondria that come near a box.
///
/// Each lattice cell has one candidate, in one of three rounds. A candidate stays if it is clear of those that stayed in
/// earlier rounds and of the candidates of its own round with a lower hash: a rule that looks at a few cells around
/// it and nowhere else.
pub(crate) fn mitochondria(
    config: &PhantomConfig,
    course: &Course,
    nuclei: &[Nucleus],
    myelin: &[Myelin],
    bounds: Bounds,
) -> Vec<Mitochondrion> {
    let stream = hash::stream(config.seed, 33);
    let near = bounds.grown(MITOCHONDRION_REACH);
    let outer = MITOCHONDRION_RING * ROUNDS as i64;
    let mut all = Grid::over(near, MITOCHONDRION_PITCH, outer, |c| mitochondrion(config, course, stream, c));
    let blocked = blocked_by_large(&all, nuclei, myelin);
    all.clear(&blocked);
    for round in 0..ROUNDS {
        let items = all.items();
        // What later rounds and the block itself need to know of this round.
        let needed = |i: usize| all.is_inner(i, MITOCHONDRION_RING * (round as i64 + 1));
        let of_round = |m: &Mitochondrion, r: u64| (m.rank >> 7) % ROUNDS == r;
        let falls = |i: usize, m: &Mitochondrion| {
            all.around_item(i, MITOCHONDRION_RING)
                .filter(|&j| j != i)
                .filter_map(|j| items[j].as_ref())
                .filter(|o| (o.rank >> 7) % ROUNDS < round || (of_round(o, round) && o.rank < m.rank))
                .any(|o| m.spine.closer_than(&o.spine, MITOCHONDRION_GAP))
        };
        let fallen: Vec<usize> = items
            .iter()
            .enumerate()
            .filter_map(|(i, m)| m.as_ref().filter(|m| of_round(m, round) && needed(i) && falls(i, m)).map(|_| i))
            .collect();
        all.clear(&fallen);
    }
    all.into_items().into_iter().flatten().filter(|m| bounds.meets(m.spine.centre(), m.spine.reach() + 200.0)).collect()
}

/// How far around a block the large structures must be known for its mitochondria to be placed.
pub(crate) const PLACING_REACH: f64 =
    MITOCHONDRION_REACH * 2.0 + MITOCHONDRION_PITCH * (MITOCHONDRION_RING * ROUNDS as i64 + 1) as f64;

/// The candidates that nuclei or myelin leave no room for.
fn blocked_by_large(all: &Grid<Option<Mitochondrion>>, nuclei: &[Nucleus], myelin: &[Myelin]) -> Vec<usize> {
    let ring = |reach: f64| ((reach + MITOCHONDRION_REACH + 200.0) / MITOCHONDRION_PITCH).ceil() as i64 + 1;
    let candidates = |centre: Vec3, reach: f64| {
        all.around(centre, ring(reach)).filter_map(|i| all.items()[i].as_ref().map(|m| (i, m)))
    };
    let by_nuclei = nuclei.iter().flat_map(|n| {
        candidates(n.body.centre, n.body.reach())
            .filter(|(_, m)| m.spine.samples().any(|(p, r)| n.body.distance(p) < 1.4 * r + 40.0))
            .map(|(i, _)| i)
    });
    let by_myelin = myelin.iter().flat_map(|s| {
        candidates(s.spine.centre(), s.spine.reach())
            .filter(|(_, m)| m.spine.closer_than(&s.spine, m.gap + 30.0))
            .map(|(i, _)| i)
    });
    by_nuclei.chain(by_myelin).collect()
}

/// The candidates for lysosomes near a box; whether one stays depends on what is around it.
pub(crate) fn lysosomes(config: &PhantomConfig, bounds: Bounds) -> Vec<Lysosome> {
    let stream = hash::stream(config.seed, 34);
    let make = |c: Cell| {
        let mut draw = Draw::new(hash::at(stream, c.z, c.y, c.x));
        let occupied = draw.chance(config.distractors);
        let centre = jittered(c, LYSOSOME_PITCH, 190.0, &mut draw);
        let r = draw.between(60.0, 190.0);
        let mut axis = || r * draw.between(0.8, 1.2);
        let body = Ellipsoid { centre, radii: Vec3::new(axis(), axis(), axis()) };
        let (grey, mottle) = (draw.between(38.0, 88.0) as f32, draw.between(0.0, 34.0) as f32);
        occupied.then_some(Lysosome { body, grey, mottle })
    };
    Grid::over(bounds.grown(240.0), LYSOSOME_PITCH, 0, make).into_items().into_iter().flatten().collect()
}

/// The candidates for stacks of cisternae near a box.
pub(crate) fn stacks(config: &PhantomConfig, bounds: Bounds) -> Vec<Stack> {
    let stream = hash::stream(config.seed, 35);
    let make = |c: Cell| {
        let mut draw = Draw::new(hash::at(stream, c.z, c.y, c.x));
        let occupied = draw.chance(config.distractors);
        let centre = jittered(c, STACK_PITCH, 500.0, &mut draw);
        let r = draw.between(150.0, 330.0);
        let mut axis = || r * draw.between(0.6, 1.3);
        let body = Ellipsoid { centre, radii: Vec3::new(axis(), axis(), axis()) };
        let (normal, spacing) = (draw.direction(), draw.between(58.0, 84.0));
        occupied.then_some(Stack { body, normal, spacing, host: 0 })
    };
    Grid::over(bounds.grown(450.0), STACK_PITCH, 0, make).into_items().into_iter().flatten().collect()
}

/// The candidates for vesicle clusters near a box.
pub(crate) fn clusters(config: &PhantomConfig, bounds: Bounds) -> Vec<Cluster> {
    let stream = hash::stream(config.seed, 36);
    let make = |c: Cell| {
        let mut draw = Draw::new(hash::at(stream, c.z, c.y, c.x));
        let occupied = draw.chance(config.vesicles);
        let centre = jittered(c, CLUSTER_PITCH, 300.0, &mut draw);
        let radius = draw.between(250.0, 460.0);
        occupied.then_some(Cluster { cell: c, centre, radius })
    };
    Grid::over(bounds.grown(CLUSTER_REACH), CLUSTER_PITCH, 0, make).into_items().into_iter().flatten().collect()
}

/// Farthest that a cluster reaches from its centre.
pub(crate) const CLUSTER_REACH: f64 = 490.0;

impl Cluster {
    /// The candidates for its vesicles: one per cell of a fine lattice, turned at random; none touch.
    pub(crate) fn vesicles(&self, seed: u64) -> Vec<Vesicle> {
        const PITCH: f64 = 60.0;
        let stream = hash::at(hash::stream(seed, 37), self.cell.z, self.cell.y, self.cell.x);
        let mut turn = Draw::new(stream);
        let a = turn.direction();
        let b = a.cross(turn.direction()).unit();
        let c = a.cross(b);
        let n = (self.radius / PITCH) as i64;
        let side = 2 * n + 1;
        let mut found = Vec::new();
        for site in 0..side * side * side {
            let (z, y, x) = (site / (side * side) - n, site / side % side - n, site % side - n);
            let mut draw = Draw::new(hash::at(stream, z, y, x));
            let mut along = |axis: Vec3, i: i64| axis * (i as f64 * PITCH + draw.between(-6.0, 6.0));
            let v = along(a, z) + along(b, y) + along(c, x);
            let share = v.norm() / self.radius;
            let radius = draw.between(17.5, 21.5);
            if share < 1.0 && draw.chance(0.95 - 0.5 * share * share) {
                let key = ObjectKey::new(Class::Vesicle, self.cell, site as u32);
                found.push(Vesicle { key, code: 0, centre: self.centre + v, radius });
            }
        }
        found
    }
}
