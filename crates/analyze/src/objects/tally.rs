//! What is counted of an object while it is found, piece by piece.

use deep3m_volume::Index;

/// A run of voxels of an object, by its place in the volume.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) start: Index,
    pub(crate) voxels: u64,
    /// Whether it lies at the volume's border.
    pub(crate) at_border: bool,
}

/// What is counted: whole numbers only, so that the order of joining does not matter.
pub(crate) trait Tally: Copy + Send {
    /// Of nothing.
    const NOTHING: Self;
    fn add(&mut self, piece: Piece);
    fn join(&mut self, other: &Self);
    fn voxels(&self) -> u64;
    /// The first voxel (z, then y, then x).
    fn first(&self) -> Index;
}

/// How large an object is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) voxels: u64,
    first: Index,
    pub(crate) at_border: bool,
}

const LAST: Index = Index::new(u64::MAX, u64::MAX, u64::MAX);

impl Tally for Size {
    const NOTHING: Self = Self { voxels: 0, first: LAST, at_border: false };

    fn add(&mut self, piece: Piece) {
        self.join(&Self { voxels: piece.voxels, first: piece.start, at_border: piece.at_border });
    }

    fn join(&mut self, other: &Self) {
        self.voxels += other.voxels;
        self.first = self.first.min(other.first);
        self.at_border |= other.at_border;
    }

    fn voxels(&self) -> u64 {
        self.voxels
    }

    fn first(&self) -> Index {
        self.first
    }
}

/// An object's size, place and box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) voxels: u64,
    /// Sums of its voxels' sections, rows and columns.
    pub(crate) z: u128,
    pub(crate) y: u128,
    pub(crate) x: u128,
    pub(crate) low: Index,
    pub(crate) high: Index,
    first: Index,
}

impl Tally for Sums {
    const NOTHING: Self = Self { voxels: 0, z: 0, y: 0, x: 0, low: LAST, high: Index::new(0, 0, 0), first: LAST };

    fn add(&mut self, Piece { start, voxels, .. }: Piece) {
        let sum = |v: u64| u128::from(v) * u128::from(voxels);
        self.join(&Self {
            voxels,
            z: sum(start.z),
            y: sum(start.y),
            x: u128::from(2 * start.x + voxels - 1) * u128::from(voxels) / 2,
            low: start,
            high: Index::new(start.z, start.y, start.x + voxels - 1),
            first: start,
        });
    }

    fn join(&mut self, o: &Self) {
        self.voxels += o.voxels;
        self.z += o.z;
        self.y += o.y;
        self.x += o.x;
        self.low = Index::new(self.low.z.min(o.low.z), self.low.y.min(o.low.y), self.low.x.min(o.low.x));
        self.high = Index::new(self.high.z.max(o.high.z), self.high.y.max(o.high.y), self.high.x.max(o.high.x));
        self.first = self.first.min(o.first);
    }

    fn voxels(&self) -> u64 {
        self.voxels
    }

    fn first(&self) -> Index {
        self.first
    }
}
