//! Many distances, kept as the squares that occur and how often.

use std::collections::BTreeMap;

/// Bits that are left out of a square from the start: twelve digits stay, whatever order the axes were added in.
const DROPPED: u32 = 12;
/// How many squares are told apart; with more, the last digits are left out.
const MOST: usize = 1 << 17;
/// Bytes for all of them.
pub(super) const BYTES: u64 = 64 * MOST as u64;

/// How often each distance occurs. Parts add up in any order.
///
/// On a grid of cubic voxels, or where the pitches are in simple proportions, squares are whole numbers and exact. A volume with more
/// than 131,072 different squares keeps as many digits of each as lets them be told apart by that many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distances {
    /// Squares, as the bits of a number without sign, which have its order.
    counts: BTreeMap<u64, u64>,
    dropped: u32,
}

impl Default for Distances {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), dropped: DROPPED }
    }
}

impl Distances {
    /// Adds a squared distance, not below 0 and finite.
    pub(super) fn add(&mut self, square: f64) {
        let bits = square.to_bits() + (1 << (DROPPED - 1));
        *self.counts.entry(bits >> self.dropped << self.dropped).or_default() += 1;
        self.keep_few();
    }

    /// Adds the distances of another part.
    pub(super) fn merge(&mut self, other: &Self) {
        self.drop_to(other.dropped);
        for (bits, count) in &other.counts {
            *self.counts.entry(bits >> self.dropped << self.dropped).or_default() += count;
        }
        self.keep_few();
    }

    // A set that is too large with so many digits stays too large when others join it: so the digits that stay do not depend on
    // the order.
    fn keep_few(&mut self) {
        while self.counts.len() > MOST {
            self.drop_to(self.dropped + 4);
        }
    }

    fn drop_to(&mut self, dropped: u32) {
        if dropped > self.dropped {
            self.dropped = dropped;
            for (bits, count) in std::mem::take(&mut self.counts) {
                *self.counts.entry(bits >> dropped << dropped).or_default() += count;
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The distances in order, with how often each occurs.
    fn iter(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.counts.iter().map(|(&bits, &count)| (f64::from_bits(bits).sqrt(), count))
    }

    /// Their sum.
    pub(super) fn sum(&self) -> f64 {
        self.iter().map(|(distance, count)| distance * count as f64).sum()
    }

    /// The largest; `None` where there is none.
    pub(super) fn largest(&self) -> Option<f64> {
        self.counts.last_key_value().map(|(&bits, _)| f64::from_bits(bits).sqrt())
    }

    /// The distance that a share of all does not exceed, between two as numpy does it (linear).
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let place = share * self.len().checked_sub(1)? as f64;
        let below = self.at(place.floor() as u64)?;
        let above = self.at(place.ceil() as u64)?;
        Some(below + (above - below) * place.fract())
    }

    /// The distance with so many before it.
    fn at(&self, rank: u64) -> Option<f64> {
        let mut before = 0;
        self.iter().find_map(|(distance, count)| {
            before += count;
            (before > rank).then_some(distance)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_two() {
        let mut distances = Distances::default();
        assert_eq!((distances.largest(), distances.quantile(0.95)), (None, None));
        for distance in [3.0, 0.0, 1.0, 2.0] {
            distances.add(distance * distance);
        }
        assert_eq!((distances.len(), distances.sum(), distances.largest()), (4, 6.0, Some(3.0)));
        assert!((distances.quantile(0.95).unwrap() - 2.85).abs() < 1e-12);
        assert_eq!(distances.quantile(0.5), Some(1.5));
    }

    #[test]
    fn too_many_keep_fewer_digits_in_any_order() {
        let squares: Vec<f64> = (1..300_000_u32).map(|i| f64::from(i).sqrt()).collect();
        let (mut one, mut parts) = (Distances::default(), Distances::default());
        for &square in &squares {
            one.add(square);
        }
        for part in squares.rchunks(70_001) {
            let mut some = Distances::default();
            part.iter().rev().for_each(|&square| some.add(square));
            parts.merge(&some);
        }
        assert!(one.counts.len() <= MOST && one.dropped > DROPPED);
        assert_eq!(one, parts);
        let exact: f64 = squares.iter().map(|square| square.sqrt()).sum();
        assert!((one.sum() / exact - 1.0).abs() < 1e-4);
    }
}
