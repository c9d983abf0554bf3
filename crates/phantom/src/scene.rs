//! All that can be seen in a block, and where everything lies: tissue in nm, before it is looked at.

use crate::config::PhantomConfig;
use crate::organelle::{self, CLUSTER_REACH, Lysosome, Mitochondrion, Myelin, Nucleus, PLACING_REACH, Stack, Vesicle};
use crate::process::{Course, Place, Processes};
use crate::shape::{Ellipsoid, Spine};
use crate::truth::ObjectKey;
use crate::vector::{Bounds, Vec3};

/// The tissue of a block.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) processes: Processes,
    pub(crate) nuclei: Vec<Nucleus>,
    pub(crate) myelin: Vec<Myelin>,
    pub(crate) mitochondria: Vec<Mitochondrion>,
    pub(crate) lysosomes: Vec<Lysosome>,
    pub(crate) stacks: Vec<Stack>,
    pub(crate) vesicles: Vec<Vesicle>,
    keys: Vec<ObjectKey>,
}

/// What a voxel without an object has for a code.
pub(crate) const BACKGROUND: u32 = 0;
/// The code of the plasma membranes.
pub(crate) const MEMBRANES: u32 = 1;

/// The cell body around a nucleus is a process of its own.
pub(crate) fn soma_id(nucleus: &Nucleus) -> u64 {
    // Any number that no seed is likely to have: the place of the nucleus in thousandths of nm.
    crate::hash::at(
        0x50a1_a5c0,
        nucleus.body.centre.z as i64,
        nucleus.body.centre.y as i64,
        nucleus.body.centre.x as i64,
    )
}

/// The part of the scene that can be met in a box: that of a section, of a row of tiles, of a tile.
#[derive(Debug, Default)]
pub(crate) struct Nearby<'a> {
    pub(crate) nuclei: Vec<&'a Nucleus>,
    pub(crate) myelin: Vec<&'a Myelin>,
    pub(crate) mitochondria: Vec<&'a Mitochondrion>,
    pub(crate) lysosomes: Vec<&'a Lysosome>,
    pub(crate) stacks: Vec<&'a Stack>,
    pub(crate) vesicles: Vec<&'a Vesicle>,
}

/// Membranes are drawn up to this far from their middle, in nm.
pub(crate) const MEMBRANE_REACH: f64 = 45.0;
/// A ball of this radius around a tube's middle distance bounds how its distance changes; see [`crate::shape::Spine`].
const SLOPE: f64 = 1.25;

impl Scene {
    /// The tissue that can be seen in a box.
    pub(crate) fn new(config: &PhantomConfig, bounds: Bounds) -> Self {
        let course = Course::new(config.seed);
        // Small things are placed by what is around them, so the large ones are known further out.
        let around = bounds.grown(2.0 * CLUSTER_REACH + 100.0);
        let wide = around.grown(PLACING_REACH);
        let nuclei = organelle::nuclei(config, wide);
        let myelin = organelle::myelin(config, &course, wide);
        let mitochondria = organelle::mitochondria(config, &course, &nuclei, &myelin, around);
        let processes = Processes::over(config.seed, config.process_nm, &course, around.grown(1200.0));
        let mut scene = Self {
            processes,
            nuclei,
            myelin,
            mitochondria,
            lysosomes: vec![],
            stacks: vec![],
            vesicles: vec![],
            keys: vec![],
        };
        scene.nuclei.retain(|n| around.meets(n.body.centre, n.body.reach() + n.gap + 100.0));
        scene.myelin.retain(|m| around.meets(m.spine.centre(), m.spine.reach() + 100.0));
        for i in 0..scene.mitochondria.len() {
            scene.mitochondria[i].host = scene.place_of_large(scene.mitochondria[i].spine.centre()).process;
        }
        scene.lysosomes = organelle::lysosomes(config, bounds.grown(200.0))
            .into_iter()
            .filter(|l| scene.has_room(l.body.centre, l.body.reach(), None))
            .collect();
        scene.stacks = organelle::stacks(config, bounds)
            .into_iter()
            .map(|s| Stack { host: scene.place(s.body.centre).process, ..s })
            .collect();
        for cluster in organelle::clusters(config, bounds) {
            let host = scene.place(cluster.centre).process;
            let mut vesicles = cluster.vesicles(config.seed);
            vesicles
                .retain(|v| bounds.meets(v.centre, v.radius + 20.0) && scene.has_room(v.centre, v.radius, Some(host)));
            scene.vesicles.append(&mut vesicles);
        }
        scene.lysosomes.retain(|l| bounds.meets(l.body.centre, l.body.reach() + 40.0));
        scene.number();
        scene
    }

    /// Gives each object a code: voxels hold four bytes, not a whole name.
    fn number(&mut self) {
        self.keys = vec![ObjectKey::MEMBRANES];
        let objects = (self.nuclei.iter_mut().map(|n| (n.key, &mut n.code)))
            .chain(self.mitochondria.iter_mut().map(|m| (m.key, &mut m.code)))
            .chain(self.vesicles.iter_mut().map(|v| (v.key, &mut v.code)));
        for (key, code) in objects {
            self.keys.push(key);
            *code = self.keys.len() as u32;
        }
    }

    /// The object that a voxel's code stands for.
    pub(crate) fn key(&self, code: u32) -> Option<ObjectKey> {
        (code as usize).checked_sub(1).map(|i| self.keys[i])
    }

    /// The process at a place, before mitochondria widen theirs.
    fn place_of_large(&self, p: Vec3) -> Place {
        let mut place = self.processes.place(p);
        for n in &self.nuclei {
            place.claim(soma_id(n), n.body.distance(p) - n.gap);
        }
        for m in &self.myelin {
            place.claim(m.id, m.spine.distance(p));
        }
        place
    }

    fn place(&self, p: Vec3) -> Place {
        let mut place = self.place_of_large(p);
        for m in &self.mitochondria {
            if m.spine.centre().distance(p) < m.spine.reach() + m.gap + 200.0 {
                place.claim(m.host, m.spine.distance(p) - m.gap);
            }
        }
        place
    }

    /// Whether a ball lies free in cytoplasm (of a certain process).
    fn has_room(&self, centre: Vec3, radius: f64, host: Option<u64>) -> bool {
        const CLEAR: f64 = 14.0;
        self.nuclei.iter().all(|n| n.body.distance(centre) > radius * 1.3 + CLEAR)
            && self.myelin.iter().all(|m| m.spine.distance(centre) > radius)
            && self.mitochondria.iter().all(|m| {
                m.spine.centre().distance(centre) > m.spine.reach() + radius + CLEAR
                    || m.spine.distance(centre) > radius + CLEAR
            })
            && (host.is_none() || self.lysosomes.iter().all(|l| l.body.distance(centre) > 1.3 * radius + CLEAR))
            && {
                let place = self.place(centre);
                place.border > radius + CLEAR && host.is_none_or(|h| h == place.process)
            }
    }

    /// Everything.
    pub(crate) fn all(&self) -> Nearby<'_> {
        Nearby {
            nuclei: self.nuclei.iter().collect(),
            myelin: self.myelin.iter().collect(),
            mitochondria: self.mitochondria.iter().collect(),
            lysosomes: self.lysosomes.iter().collect(),
            stacks: self.stacks.iter().collect(),
            vesicles: self.vesicles.iter().collect(),
        }
    }
}

impl Nearby<'_> {
    /// What of it can be met in a box. Never leaves out what matters: where a box is cut makes no difference.
    pub(crate) fn within(&self, bounds: Bounds) -> Self {
        fn kept<'a, T>(items: &[&'a T], keep: impl Fn(&T) -> bool) -> Vec<&'a T> {
            items.iter().copied().filter(|i| keep(i)).collect()
        }
        let (c, r) = (bounds.centre(), bounds.radius());
        let tube =
            |s: &Spine, reach: f64| bounds.meets(s.centre(), s.reach() + reach) && s.distance(c) < SLOPE * r + reach;
        let oval = |e: &Ellipsoid, reach: f64| bounds.meets(e.centre, e.reach() + reach);
        Self {
            // The distance from an ellipsoid is not exact away from it, by up to the ratio of its radii.
            nuclei: kept(&self.nuclei, |n| oval(&n.body, 1.5 * (n.gap + MEMBRANE_REACH))),
            myelin: kept(&self.myelin, |m| tube(&m.spine, MEMBRANE_REACH)),
            mitochondria: kept(&self.mitochondria, |m| tube(&m.spine, m.gap + MEMBRANE_REACH)),
            lysosomes: kept(&self.lysosomes, |l| oval(&l.body, 40.0)),
            stacks: kept(&self.stacks, |s| oval(&s.body, 0.0)),
            vesicles: kept(&self.vesicles, |v| bounds.meets(v.centre, v.radius + 15.0)),
        }
    }
}
