//! A closed surface as half-edges: who is whose neighbour, and how an edge is drawn together.

/// Half-edge h of triangle h / 3 goes from `from[h]` to the triangle's next corner. Its twin goes the other way in the
/// neighbouring triangle.
#[derive(Clone, Debug)]
pub(super) struct HalfEdges {
    from: Vec<u32>,
    twin: Vec<u32>,
    /// A half-edge from each corner; [`GONE`] for those that are no more.
    first: Vec<u32>,
}

/// No corner, no half-edge.
pub(super) const GONE: u32 = u32::MAX;

/// The following half-edge of a triangle.
pub(super) const fn next(h: u32) -> u32 {
    if h % 3 == 2 { h - 2 } else { h + 1 }
}

const fn previous(h: u32) -> u32 {
    if h.is_multiple_of(3) { h + 2 } else { h - 1 }
}

impl HalfEdges {
    /// Of a closed surface with consistent orientation.
    pub(super) fn new(corners: usize, triangles: &[[u32; 3]]) -> Self {
        let from = triangles.as_flattened().to_vec();
        // Half-edges by the corner from which they go.
        let mut ends = vec![0_u32; corners + 1];
        for &corner in &from {
            ends[corner as usize + 1] += 1;
        }
        for i in 0..corners {
            ends[i + 1] += ends[i];
        }
        let mut going = vec![0_u32; from.len()];
        let mut free = ends.clone();
        for (h, &corner) in from.iter().enumerate() {
            let place = &mut free[corner as usize];
            going[*place as usize] = h as u32;
            *place += 1;
        }
        let of = |corner: u32| &going[ends[corner as usize] as usize..ends[corner as usize + 1] as usize];
        let to = |h: u32| from[next(h) as usize];
        let mut twin = vec![GONE; from.len()];
        for h in 0..from.len() as u32 {
            if twin[h as usize] == GONE
                && let Some(&other) = of(to(h)).iter().find(|&&other| to(other) == from[h as usize])
            {
                twin[h as usize] = other;
                twin[other as usize] = h;
            }
        }
        let first = (0..corners as u32).map(|corner| of(corner).first().copied().unwrap_or(GONE)).collect();
        Self { from, twin, first }
    }

    pub(super) fn corners(&self) -> usize {
        self.first.len()
    }

    pub(super) fn is_alive(&self, corner: u32) -> bool {
        self.first[corner as usize] != GONE
    }

    /// The corner where a half-edge begins.
    pub(super) fn start(&self, h: u32) -> u32 {
        self.from[h as usize]
    }

    /// The corner where a half-edge ends.
    pub(super) fn end(&self, h: u32) -> u32 {
        self.from[next(h) as usize]
    }

    pub(super) fn twin(&self, h: u32) -> u32 {
        self.twin[h as usize]
    }

    /// The half-edges from a corner, around it.
    pub(super) fn around(&self, corner: u32) -> impl Iterator<Item = u32> + '_ {
        let first = self.first[corner as usize];
        let mut at = first;
        std::iter::from_fn(move || {
            (at != GONE).then(|| {
                let here = at;
                let following = self.twin[previous(here) as usize];
                at = if following == first { GONE } else { following };
                here
            })
        })
    }

    /// The corners of a triangle; `None` where it is no more.
    pub(super) fn triangle(&self, triangle: u32) -> Option<[u32; 3]> {
        let at = 3 * triangle as usize;
        (self.from[at] != GONE).then(|| [self.from[at], self.from[at + 1], self.from[at + 2]])
    }

    /// Triangles, with those that are no more.
    pub(super) fn triangles(&self) -> u32 {
        (self.from.len() / 3) as u32
    }

    /// Draws the end of a half-edge into its start: one corner and two triangles go.
    pub(super) fn collapse(&mut self, h: u32) {
        let (kept, gone, back) = (self.start(h), self.end(h), self.twin(h));
        let around: [u32; 2] = [previous(h), previous(back)].map(|h| self.start(h));
        let mut at = self.first[gone as usize];
        let last = at;
        loop {
            self.from[at as usize] = kept;
            at = self.twin[previous(at) as usize];
            if at == last {
                break;
            }
        }
        // The outer neighbours of the two triangles become neighbours of each other.
        let pairs = [h, back].map(|side| (self.twin[next(side) as usize], self.twin[previous(side) as usize]));
        for (one, other) in pairs {
            self.twin[one as usize] = other;
            self.twin[other as usize] = one;
        }
        self.first[gone as usize] = GONE;
        // From the third corner to the end of the half-edge, which is now `kept`; and back.
        self.first[around[0] as usize] = pairs[0].0;
        self.first[around[1] as usize] = pairs[1].0;
        self.first[kept as usize] = pairs[0].1;
        for side in [h, back] {
            let at = side as usize / 3 * 3;
            self.from[at..at + 3].fill(GONE);
        }
    }
}
