//! Contacts as tables, and all together.

use serde::Serialize;

use super::{ContactPair, ContactSite, Contacts};
use crate::columns::{Columns, Values};

/// All contacts together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ContactSummary {
    /// Pairs of objects in contact.
    pub pairs: u64,
    /// Objects of the first volume with a contact; of one volume, all with a contact.
    pub objects_a: u64,
    /// Objects of the second volume with a contact; of one volume the same.
    pub objects_b: u64,
    /// Sites of all pairs.
    pub sites: u64,
    /// The sum of the contact areas on the first objects' side, over pairs: what is near two others counts twice.
    pub area_a_um2: f64,
    /// The same on the other side.
    pub area_b_um2: f64,
    /// How far apart objects might be.
    pub within_nm: f64,
}

impl Contacts {
    /// A row per pair.
    pub fn pairs_table(&self) -> Columns {
        let rows = &self.pairs;
        let whole =
            |value: &dyn Fn(&ContactPair) -> i64| Values::Whole(rows.iter().map(|row| Some(value(row))).collect());
        let real =
            |value: &dyn Fn(&ContactPair) -> f64| Values::Real(rows.iter().map(|row| Some(value(row))).collect());
        let mut table = Columns::default();
        table.add("a_id", whole(&|pair| pair.a.into()));
        table.add("b_id", whole(&|pair| pair.b.into()));
        table.add("area_a_um2", real(&|pair| pair.area_a_nm2 * 1e-6));
        table.add("area_b_um2", real(&|pair| pair.area_b_nm2 * 1e-6));
        table.add("sites", whole(&|pair| pair.sites as i64));
        table.add("distance_nm", real(&|pair| pair.distance_nm));
        table
    }

    /// A row per site.
    pub fn sites_table(&self) -> Columns {
        let rows = &self.sites;
        let whole =
            |value: &dyn Fn(&ContactSite) -> i64| Values::Whole(rows.iter().map(|row| Some(value(row))).collect());
        let real =
            |value: &dyn Fn(&ContactSite) -> f64| Values::Real(rows.iter().map(|row| Some(value(row))).collect());
        let mut table = Columns::default();
        table.add("a_id", whole(&|site| site.a.into()));
        table.add("b_id", whole(&|site| site.b.into()));
        table.add("site", whole(&|site| site.site as i64));
        table.add("centroid_z_nm", real(&|site| site.centroid_nm[0]));
        table.add("centroid_y_nm", real(&|site| site.centroid_nm[1]));
        table.add("centroid_x_nm", real(&|site| site.centroid_nm[2]));
        table.add("area_um2", real(&|site| site.area_nm2 * 1e-6));
        table.add("voxels", whole(&|site| site.voxels as i64));
        table.add("distance_nm", real(&|site| site.distance_nm));
        table
    }

    /// All contacts together; `one`: between the objects of one volume.
    pub fn summary(&self, within_nm: f64, one: bool) -> ContactSummary {
        let count = |mut ids: Vec<u32>| {
            ids.sort_unstable();
            ids.dedup();
            ids.len() as u64
        };
        let of = |id: fn(&ContactPair) -> u32| self.pairs.iter().map(id);
        let (a, b) = (of(|pair| pair.a), of(|pair| pair.b));
        let all: Vec<u32> = a.clone().chain(b.clone()).collect();
        ContactSummary {
            pairs: self.pairs.len() as u64,
            objects_a: count(if one { all.clone() } else { a.collect() }),
            objects_b: count(if one { all } else { b.collect() }),
            sites: self.sites.len() as u64,
            area_a_um2: self.pairs.iter().map(|pair| pair.area_a_nm2).sum::<f64>() * 1e-6,
            area_b_um2: self.pairs.iter().map(|pair| pair.area_b_nm2).sum::<f64>() * 1e-6,
            within_nm,
        }
    }
}
