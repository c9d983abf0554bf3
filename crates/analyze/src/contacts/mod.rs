//! Where objects touch, or come near each other.
//!
//! The distance of two voxels is the gap between their nearest faces, edges or corners; voxels that touch are at 0. A voxel of an
//! object's surface is in contact with another object that is at most so far. Its part of the surface is the area that the
//! co-area formula gives there ([`crate::surface`]). Contact voxels that touch each other are a site.
//!
//! All sums are whole numbers, so blocks change nothing.

mod faces;
mod show;
mod sites;
mod window;

use std::collections::BTreeMap;

use deep3m_volume::{Extent, Index, Region, Volume, VoxelSize};

use crate::AnalyzeError;
use crate::ids::numbers;
use crate::measure::{looked_at, same_size};
use crate::walk::{Part, Walk};
use faces::{AROUND, Faces};
use sites::{BlockSites, SiteSums, Sites, Touch};
use window::{Rows, Window};

pub use show::ContactSummary;

/// What is a contact.
#[derive(Clone, Debug, PartialEq)]
pub struct ContactsConfig {
    /// How far apart objects may be, in nm.
    pub distance_nm: f64,
    /// The part that is looked at; `None` is all of it.
    pub region: Option<Region>,
    /// Bytes that may be held.
    pub budget: u64,
}

/// The contacts of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Contacts {
    /// Pairs of objects, by their numbers.
    pub pairs: Vec<ContactPair>,
    /// Their sites, by pair and place.
    pub sites: Vec<ContactSite>,
}

/// Two objects in contact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContactPair {
    /// The first volume's object; of one volume the one with the lower number.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// The part of a's surface that is near b, in nm².
    pub area_a_nm2: f64,
    /// The part of b's surface that is near a, in nm².
    pub area_b_nm2: f64,
    /// How many sites a's part has. None where b lies wholly inside a.
    pub sites: u64,
    /// The smallest gap between them, in nm.
    pub distance_nm: f64,
}

/// A place of contact, on a's surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContactSite {
    /// The first object.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// The number of the site among those of the pair, from 1.
    pub site: u64,
    /// Its middle (z, y, x) in nm; the middle of the volume's first voxel is 0, 0, 0.
    pub centroid_nm: [f64; 3],
    /// Its area in nm².
    pub area_nm2: f64,
    /// Voxels of a's surface in it.
    pub voxels: u64,
    /// The smallest gap, in nm.
    pub distance_nm: f64,
}

/// The contacts between the objects of two label volumes of one size, or (without `b`) between those of one. The first volume
/// must state the size of its voxels.
///
/// Memory is some blocks per thread, about 100 bytes for each pair and site, and as much for each contact voxel on the blocks' sides
/// in a layer of blocks. Time grows with the square of the distance in voxels. `progress` hears the voxels of each block; with a
/// false it ends.
///
/// # Errors
/// [`AnalyzeError::NotLabels`], [`AnalyzeError::ShapeMismatch`], [`AnalyzeError::NoVoxelSize`], [`AnalyzeError::Memory`],
/// [`AnalyzeError::Interrupted`]; a region that sticks out, a distance that is too large; what reading met.
pub fn contacts(
    a: &dyn Volume,
    b: Option<&dyn Volume>,
    config: &ContactsConfig,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Contacts, AnalyzeError> {
    let region = looked_at(a.info(), config.region)?;
    if let Some(b) = b {
        same_size(a.info(), b.info())?;
        looked_at(b.info(), config.region)?;
    }
    let size = a.info().voxel_size.ok_or_else(|| AnalyzeError::NoVoxelSize {
        path: a.info().path.clone(),
        what: "does not state the size of its voxels; contacts are measured in nm",
    })?;
    let too_far = || AnalyzeError::Setting {
        name: "the distance of contacts",
        found: format!("{} nm, with voxels of {size}", config.distance_nm),
        expected: "at most some hundred voxels: contacts are near".to_owned(),
    };
    let window = Window::new(config.distance_nm, size, region.extent).ok_or_else(too_far)?;
    let [z, y, x] = window.reach.map(|reach| reach.max(AROUND));
    let halo = Extent::new(z, y, x);
    // Labels as they are read, as numbers, with a margin, as runs; numbers of surface voxels, and these.
    let bytes = a.info().voxel_type.bytes() as u64 + b.map_or(0, |b| b.info().voxel_type.bytes() as u64 + 4) + 40;
    let walk = Walk::fit(a.info(), region, halo, bytes, 0, config.budget)?;
    contacts_in(a, b, &window, size, &walk, progress)
}

/// The surfaces of objects `a` towards objects `b` of a block.
struct Towards {
    /// For each pair the shares, and the smallest square of a distance.
    pairs: BTreeMap<(u32, u32), (u64, f64)>,
    touches: Vec<Touch>,
}

fn contacts_in(
    a: &dyn Volume,
    b: Option<&dyn Volume>,
    window: &Window,
    size: VoxelSize,
    walk: &Walk,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Contacts, AnalyzeError> {
    let faces = Faces::new(size);
    let one = b.is_none();
    let work = |part: Part| {
        let read = |volume: &dyn Volume| Ok::<_, AnalyzeError>(numbers(volume.read(part.around)?.into_voxels()));
        let first = read(a)?;
        let second = b.map(read).transpose()?;
        let rows = |labels: &[u32]| Rows::of(labels, part.around.extent);
        let (rows_a, rows_b) = (rows(&first), second.as_deref().map(rows));
        let forth = Towards::of(&faces, window, &first, rows_b.as_ref().unwrap_or(&rows_a), part, one);
        let back = second.map(|second| Towards::of(&faces, window, &second, &rows_a, part, false));
        // Within one volume, the sites are those of the object with the lower number.
        let touches: Vec<Touch> = forth.touches.iter().copied().filter(|touch| !one || touch.a < touch.b).collect();
        Ok((forth.pairs, back.map(|back| back.pairs), BlockSites::of(&touches, part.core)))
    };
    let mut sites = Sites::default();
    let (mut forth, mut back) = (BTreeMap::new(), BTreeMap::new());
    walk.run(
        work,
        |part, (pairs, pairs_back, block)| {
            join(&mut forth, pairs);
            join(&mut back, pairs_back.unwrap_or_default());
            if sites.add(block, part.core) {
                return Ok(());
            }
            Err(AnalyzeError::Setting {
                name: "the number of contacts",
                found: "more than 4 thousand million".to_owned(),
                expected: "fewer: look at a part with --region".to_owned(),
            })
        },
        progress,
    )?;
    // Towards the other side: of one volume what was found there, too.
    let back = if one { forth.clone() } else { back };
    let mut both: BTreeMap<(u32, u32), [(u64, f64); 2]> = BTreeMap::new();
    for (&(a, b), &found) in forth.iter().filter(|((a, b), _)| !one || a < b) {
        both.entry((a, b)).or_insert([(0, f64::INFINITY); 2])[0] = found;
    }
    for (&(b, a), &found) in back.iter().filter(|((b, a), _)| !one || a < b) {
        both.entry((a, b)).or_insert([(0, f64::INFINITY); 2])[1] = found;
    }
    Ok(Contacts::of(&both, &sites.finish(), &faces, size))
}

impl Towards {
    fn of(faces: &Faces, window: &Window, labels: &[u32], others: &Rows, part: Part, one: bool) -> Self {
        let mut found = Self { pairs: BTreeMap::new(), touches: Vec::new() };
        if others.is_empty() {
            return found;
        }
        let (inside, start) = (part.inside().start, part.core.start);
        let mut near = Vec::new();
        for face in faces.of(labels, part) {
            let [z, y, x] = face.at;
            let at = [z + inside.z as usize, y + inside.y as usize, x + inside.x as usize];
            window.near(others, at, one.then_some(face.object), &mut near);
            for &(b, square_nm2) in &near {
                let (a, shares) = (face.object, face.shares);
                let at = Index::new(start.z + z as u64, start.y + y as u64, start.x + x as u64);
                found.touches.push(Touch { at, a, b, shares, square_nm2 });
                add(&mut found.pairs, (a, b), (shares, square_nm2));
            }
        }
        found
    }
}

fn add(pairs: &mut BTreeMap<(u32, u32), (u64, f64)>, pair: (u32, u32), (shares, square): (u64, f64)) {
    let (sum, least) = pairs.entry(pair).or_insert((0, f64::INFINITY));
    *sum += shares;
    *least = least.min(square);
}

fn join(all: &mut BTreeMap<(u32, u32), (u64, f64)>, more: BTreeMap<(u32, u32), (u64, f64)>) {
    for (pair, found) in more {
        add(all, pair, found);
    }
}

impl Contacts {
    fn of(both: &BTreeMap<(u32, u32), [(u64, f64); 2]>, sums: &[SiteSums], faces: &Faces, size: VoxelSize) -> Self {
        let pitch = [size.z_nm, size.y_nm, size.x_nm];
        let mut sites: Vec<ContactSite> = Vec::with_capacity(sums.len());
        for sum in sums {
            let before = sites.last().filter(|site| (site.a, site.b) == (sum.a, sum.b)).map_or(0, |site| site.site);
            let middle = sum.centroid();
            sites.push(ContactSite {
                a: sum.a,
                b: sum.b,
                site: before + 1,
                centroid_nm: std::array::from_fn(|axis| middle[axis] * pitch[axis]),
                area_nm2: faces.nm2(sum.shares),
                voxels: sum.voxels,
                distance_nm: sum.square_nm2.sqrt(),
            });
        }
        let mut counts = BTreeMap::<(u32, u32), u64>::new();
        for site in &sites {
            *counts.entry((site.a, site.b)).or_default() += 1;
        }
        let pair = |(&(a, b), &[of_a, of_b]): (&(u32, u32), &[(u64, f64); 2])| ContactPair {
            a,
            b,
            area_a_nm2: faces.nm2(of_a.0),
            area_b_nm2: faces.nm2(of_b.0),
            sites: counts.get(&(a, b)).copied().unwrap_or(0),
            distance_nm: of_a.1.min(of_b.1).sqrt(),
        };
        Self { pairs: both.iter().map(pair).collect(), sites }
    }
}

#[cfg(test)]
mod tests;
