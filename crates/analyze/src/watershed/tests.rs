//! The watershed in blocks against the definition, word by word, in a volume that is held whole.

use std::collections::BTreeMap;

use deep3m_volume::{Block, Extent, InMemory, VoxelSize, Voxels};
use proptest::prelude::*;

use super::*;
use crate::objects::Mask;
use crate::smooth::Gaussian;

fn places(extent: Extent) -> Vec<Index> {
    Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| voxel.start).collect()
}

fn touch(a: Index, b: Index, connectivity: Connectivity) -> bool {
    let apart = [a.z.abs_diff(b.z), a.y.abs_diff(b.y), a.x.abs_diff(b.x)];
    let most = match connectivity {
        Connectivity::SectionEdges | Connectivity::Faces => 1,
        Connectivity::SectionCorners | Connectivity::Edges => 2,
        Connectivity::Corners => 3,
    };
    let sum = apart.iter().sum::<u64>();
    apart.iter().all(|&d| d <= 1) && (1..=most).contains(&sum) && (apart[0] == 0 || !connectivity.is_flat())
}

/// Numbers in the order of first voxels.
fn renumbered(of: &[Option<usize>]) -> Vec<u32> {
    let mut numbers = BTreeMap::new();
    let number = |of: &Option<usize>| {
        of.map_or(0, |of| {
            let next = numbers.len() as u32 + 1;
            *numbers.entry(of).or_insert(next)
        })
    };
    of.iter().map(number).collect()
}

fn by_definition(heights: &[f32], extent: Extent, connectivity: Connectivity, h: f32) -> Vec<u32> {
    let places = places(extent);
    let count = places.len();
    let near: Vec<Vec<usize>> = (0..count)
        .map(|i| (0..count).filter(|&j| heights[j] > 0.0 && touch(places[i], places[j], connectivity)).collect())
        .collect();
    // The first of the highest neighbours, where one is higher.
    let leads = |i: usize| {
        let mut best: Option<usize> = None;
        for &j in &near[i] {
            if heights[j] > heights[i] && best.is_none_or(|best| heights[j] > heights[best]) {
                best = Some(j);
            }
        }
        best
    };
    let mut to: Vec<Option<usize>> = (0..count).map(leads).collect();
    let flat: Vec<bool> = (0..count).map(|i| heights[i] > 0.0 && to[i].is_none()).collect();
    let mut seen = vec![false; count];
    for first in 0..count {
        if !flat[first] || seen[first] {
            continue;
        }
        let (mut piece, mut todo) = (Vec::new(), vec![first]);
        seen[first] = true;
        while let Some(i) = todo.pop() {
            piece.push(i);
            for &j in &near[i] {
                if flat[j] && heights[j] == heights[i] && !seen[j] {
                    seen[j] = true;
                    todo.push(j);
                }
            }
        }
        let exits = piece.iter().flat_map(|&i| near[i].iter().copied().filter(move |&j| j != i));
        let mut exits: Vec<usize> = exits.filter(|&j| !flat[j] && heights[j] == heights[first]).collect();
        exits.sort_by(|&a, &b| heights[to[b].unwrap()].total_cmp(&heights[to[a].unwrap()]).then(a.cmp(&b)));
        for &i in &piece {
            to[i] = (i != first).then_some(first).or_else(|| exits.first().copied());
        }
    }
    let mut basin: Vec<Option<usize>> = (0..count)
        .map(|start| {
            let mut end = start;
            while let Some(next) = to[end] {
                end = next;
            }
            (heights[start] > 0.0).then_some(end)
        })
        .collect();
    // Every basin is known by its first voxel.
    let mut firsts = BTreeMap::new();
    let mut peaks = BTreeMap::new();
    for (i, basin) in basin.iter_mut().enumerate() {
        if let Some(peak) = *basin {
            let first = *firsts.entry(peak).or_insert(i);
            peaks.insert(first, heights[peak]);
            *basin = Some(first);
        }
    }
    let mut passes = BTreeMap::<(usize, usize), f32>::new();
    for i in 0..count {
        for &j in &near[i] {
            if let (Some(a), Some(b)) = (basin[i], basin[j])
                && a < b
            {
                let pass = passes.entry((a, b)).or_insert(0.0);
                *pass = pass.max(heights[i].min(heights[j]));
            }
        }
    }
    let mut passes: Vec<((usize, usize), f32)> = passes.into_iter().collect();
    passes.sort_by(|p, q| q.1.total_cmp(&p.1).then(p.0.cmp(&q.0)));
    let mut joined: BTreeMap<usize, usize> = peaks.keys().map(|&first| (first, first)).collect();
    for ((a, b), pass) in passes {
        let (a, b) = (joined[&a], joined[&b]);
        if a != b && peaks[&a].min(peaks[&b]) - pass < h {
            let peak = peaks[&a].max(peaks[&b]);
            peaks.insert(a, peak);
            joined.values_mut().filter(|of| **of == b).for_each(|of| *of = a);
        }
    }
    renumbered(&basin.iter().map(|first| first.map(|first| joined[&first])).collect::<Vec<_>>())
}

fn in_blocks(heights: &[f32], extent: Extent, connectivity: Connectivity, h: f32, block: Extent) -> Vec<u32> {
    let mut kept = Heights::new(extent, None).unwrap();
    kept.write(Region::whole(extent), heights).unwrap();
    let grid = Grid::new(extent, block);
    let path = Path::new("heights");
    let sheds = find(path, &kept, &grid, connectivity, h, |_| true, &mut |_| true).unwrap().unwrap();
    let mut numbers = Block::zeros(extent, deep3m_volume::VoxelType::U32);
    for core in grid.blocks() {
        let drawn = sheds.draw(path, &kept, &grid, connectivity, &core).unwrap();
        let drawn = Block::new(core.extent, Voxels::U32(drawn));
        numbers.paste(core.start, &drawn, Region::whole(core.extent));
    }
    let numbers: Vec<u32> = numbers.voxels().iter().collect();
    let voxels = |number: u32| numbers.iter().filter(|&&n| n == number).count() as u64;
    assert!(sheds.objects().map(|size| size.voxels).eq((1..).map(voxels).take(sheds.objects().count())));
    assert_eq!(sheds.objects().count() as u32, numbers.iter().copied().max().unwrap_or(0));
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn basins_are_those_of_the_definition_whatever_the_blocks(
        (extent, heights) in (1_u64..6, 1_u64..8, 1_u64..9, 2_u8..12).prop_flat_map(|(z, y, x, most)| {
            let voxels = prop::collection::vec((0..most).prop_map(f32::from), (z * y * x) as usize);
            (Just(Extent::new(z, y, x)), voxels)
        }),
        connectivity in prop::sample::select(Connectivity::ALL.to_vec()),
        h in prop::sample::select(vec![0.0_f32, 1.5, 2.0, 4.0, 100.0]),
        (z, y, x) in (1_u64..7, 1_u64..9, 1_u64..10),
    ) {
        let found = in_blocks(&heights, extent, connectivity, h, Extent::new(z, y, x));
        prop_assert_eq!(found, by_definition(&heights, extent, connectivity, h));
    }
}

/// A mask in memory.
struct Whole(Vec<u8>, Extent);

impl Mask for Whole {
    fn path(&self) -> &Path {
        Path::new("mask")
    }

    fn read(&self, part: Region) -> Result<Vec<u8>, AnalyzeError> {
        Ok(places(part.extent)
            .into_iter()
            .map(|at| self.0[self.1.offset(Index::new(at.z + part.start.z, at.y + part.start.y, at.x + part.start.x))])
            .collect())
    }
}

/// Balls of a radius in nm around centres in voxels.
fn balls(extent: Extent, spacing: VoxelSize, centres: &[[f64; 3]], radius_nm: f64) -> Whole {
    let inside = |at: Index| {
        centres.iter().any(|c| {
            let apart = [
                (at.z as f64 - c[0]) * spacing.z_nm,
                (at.y as f64 - c[1]) * spacing.y_nm,
                (at.x as f64 - c[2]) * spacing.x_nm,
            ];
            apart.iter().map(|d| d * d).sum::<f64>() <= radius_nm * radius_nm
        })
    };
    Whole(places(extent).into_iter().map(|at| u8::from(inside(at))).collect(), extent)
}

fn depths(mask: &Whole, spacing: VoxelSize, flat: bool, block: Extent, scratch: Option<(&Path, u64)>) -> Vec<f32> {
    let grid = Grid::new(mask.1, block);
    let (path, room) = scratch.map_or((None, u64::MAX), |(path, room)| (Some(path), room));
    let heights = distances(mask, &grid, spacing, flat, path, room, &mut |_| true).unwrap();
    let mut all = vec![0.0; mask.1.len()];
    heights.read(Region::whole(mask.1), &mut all, mask.1, Index::default()).unwrap();
    all
}

#[test]
fn two_balls_that_touch_part_at_the_neck_with_voxels_of_any_shape() {
    for (spacing, extent) in [((8.0, 8.0, 8.0), Extent::new(26, 26, 44)), ((30.0, 8.0, 8.0), Extent::new(8, 26, 44))] {
        let spacing = VoxelSize::new(spacing.0, spacing.1, spacing.2).unwrap();
        let z = (extent.z - 1) as f64 / 2.0;
        let mask = balls(extent, spacing, &[[z, 12.0, 13.0], [z, 12.0, 30.0]], 80.0);
        let heights = depths(&mask, spacing, false, Extent::new(5, 7, 9), None);
        let unit = Unit::of_distances(spacing);
        let numbers = in_blocks(&heights, extent, Connectivity::Corners, unit.steps(8.0), Extent::new(3, 9, 11));
        assert_eq!(numbers.iter().max(), Some(&2), "{spacing:?}");
        for (at, number) in places(extent).into_iter().zip(&numbers) {
            // The neck is halfway between 13 and 30.
            let side = if at.x <= 20 {
                1
            } else if at.x >= 23 {
                2
            } else {
                continue;
            };
            assert!(*number == 0 || *number == side, "{at:?}: {number}");
        }
        let together = in_blocks(&heights, extent, Connectivity::Corners, f32::MAX, Extent::new(3, 9, 11));
        assert!(together.iter().zip(&mask.0).all(|(&number, &inside)| number == u32::from(inside)));
    }
}

#[test]
fn distances_in_a_file_are_those_in_memory() {
    let spacing = VoxelSize::new(30.0, 8.0, 9.0).unwrap();
    let extent = Extent::new(7, 21, 34);
    let mask = balls(extent, spacing, &[[3.0, 9.0, 9.0], [4.0, 12.0, 26.0]], 75.0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scratch");
    for flat in [false, true] {
        let whole = depths(&mask, spacing, flat, extent, None);
        assert!(whole.iter().zip(&mask.0).all(|(&height, &inside)| (height > 0.0) == (inside > 0)));
        for room in [0, 600, 4 * 21 * 34, 1 << 20] {
            assert_eq!(depths(&mask, spacing, flat, Extent::new(2, 8, 8), Some((&path, room))), whole, "{room}");
        }
        assert!(!path.exists());
    }
    // The deepest voxel of a ball of 75 nm lies about 75 nm deep, in steps of half a nanometre.
    let deepest = depths(&mask, spacing, false, extent, None).into_iter().fold(0.0, f32::max);
    assert!((140.0..=160.0).contains(&deepest), "{deepest}");
}

#[test]
fn a_volume_of_one_object_is_one() {
    let extent = Extent::new(4, 9, 9);
    let spacing = VoxelSize::new(1.0, 1.0, 1.0).unwrap();
    let all = Whole(vec![1; extent.len()], extent);
    let heights = depths(&all, spacing, false, extent, None);
    let numbers = in_blocks(&heights, extent, Connectivity::Faces, 1.0, Extent::new(3, 4, 5));
    assert!(numbers.iter().all(|&number| number == 1));
    let none = Whole(vec![0; extent.len()], extent);
    let heights = depths(&none, spacing, false, extent, None);
    assert!(in_blocks(&heights, extent, Connectivity::Faces, 1.0, extent).iter().all(|&number| number == 0));
}

#[test]
fn probabilities_are_smoothed_as_a_whole_whatever_the_blocks() {
    let extent = Extent::new(5, 20, 24);
    let values: Vec<u8> = (0..extent.len() as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mask: Vec<u8> = values.iter().map(|&value| u8::from(value >= 100)).collect();
    let volume = InMemory::new("p", extent, Voxels::U8(values));
    let gaussian = Gaussian::new([0.5, 1.2, 1.2]);
    // A part of the volume: what lies around it counts.
    let region = Region::new(Index::new(1, 3, 2), Extent::new(3, 15, 20));
    let read = |region: Region, block: Extent| {
        let offsets = places(region.extent)
            .into_iter()
            .map(|at| extent.offset(Index::new(at.z + region.start.z, at.y + region.start.y, at.x + region.start.x)));
        let part = Whole(offsets.map(|offset| mask[offset]).collect(), region.extent);
        let of = Around { volume: &volume, start: region.start, one: 255 };
        let heights = smoothed(&part, &Grid::new(region.extent, block), of, &gaussian, None, &mut |_| true).unwrap();
        let mut all = vec![0.0; region.extent.len()];
        heights.read(Region::whole(region.extent), &mut all, region.extent, Index::default()).unwrap();
        all
    };
    let whole = read(Region::whole(extent), extent);
    let part = read(region, Extent::new(2, 6, 7));
    for (at, height) in places(region.extent).into_iter().zip(part) {
        let at = Index::new(at.z + 1, at.y + 3, at.x + 2);
        assert_eq!(height, whole[extent.offset(at)]);
        assert_eq!(height > 0.0, mask[extent.offset(at)] > 0);
    }
}
