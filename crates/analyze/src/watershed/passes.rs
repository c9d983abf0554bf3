//! Where groups of voxels touch, and how high the way from one to the other leads.

use std::collections::HashMap;

use super::climb::Climb;

/// The highest way from one group to another that touches it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pass {
    pub(super) a: u32,
    pub(super) b: u32,
    /// Of all pairs of touching voxels, the highest of the lower ones.
    pub(super) height: f32,
}

/// The passes between the groups of a block, each pair of groups once.
pub(super) fn passes(climb: &Climb) -> Vec<Pass> {
    let mut highest: HashMap<(u32, u32), f32> = HashMap::new();
    // Neighbours mostly lie between the same groups: gathered before they are looked up.
    let mut last = Pass { a: 0, b: 0, height: 0.0 };
    let mut put = |pass: Pass| {
        if pass.a != 0 {
            let height = highest.entry((pass.a, pass.b)).or_insert(pass.height);
            *height = height.max(pass.height);
        }
    };
    let [depth, height, width] = climb.extent.to_array().map(|n| n as usize);
    let (groups, heights) = (&climb.groups, &climb.heights);
    for row in (0..depth).flat_map(|z| (0..height).map(move |y| climb.row(z, y))) {
        let here = &groups[row..row + width];
        if here.iter().all(|&group| group == 0) {
            continue;
        }
        for &step in &climb.behind {
            let near = &groups[row + step..row + step + width];
            for (x, (&a, &b)) in here.iter().zip(near).enumerate() {
                if a == b || a == 0 || b == 0 {
                    continue;
                }
                let height = heights[row + x].min(heights[row + x + step]);
                let (a, b) = (a.min(b), a.max(b));
                if (last.a, last.b) == (a, b) {
                    last.height = last.height.max(height);
                } else {
                    put(std::mem::replace(&mut last, Pass { a, b, height }));
                }
            }
        }
    }
    put(last);
    let mut passes: Vec<Pass> = highest.into_iter().map(|((a, b), height)| Pass { a, b, height }).collect();
    // The order of a hash map must not show.
    passes.sort_unstable_by_key(|pass| (pass.a, pass.b));
    passes
}
