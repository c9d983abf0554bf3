//! Measurements as a table, a row per object.

use super::{Measured, MeasuredObject};
use crate::columns::{Columns, Values};

impl Measured {
    /// The table. Where the size of voxels is known, lengths are in nm, areas in µm² and volumes in µm³; else in voxels (vx),
    /// faces (vx2), and without a column for the volume, which is the number of voxels.
    pub fn table(&self) -> Columns {
        let mut table = Columns::default();
        let known = self.voxel_size.is_some();
        let real = |nm: &'static str, vx: &'static str, value: &dyn Fn(&MeasuredObject) -> Option<f64>| {
            table_real(&self.objects, if known { nm } else { vx }, value)
        };
        let square = if known { 1e-6 } else { 1.0 };
        let columns = [
            self.whole("id", |o| Some(o.id.into())),
            self.whole("voxels", |o| Some(o.voxels as i64)),
            real("volume_um3", "", &|o| Some(o.volume * 1e-9)),
            real("surface_um2", "surface_vx2", &|o| Some(o.surface * square)),
            real("centroid_z_nm", "centroid_z_vx", &|o| Some(o.centroid[0])),
            real("centroid_y_nm", "centroid_y_vx", &|o| Some(o.centroid[1])),
            real("centroid_x_nm", "centroid_x_vx", &|o| Some(o.centroid[2])),
            self.whole("bbox_z0_vx", |o| Some(o.bounds.start.z as i64)),
            self.whole("bbox_y0_vx", |o| Some(o.bounds.start.y as i64)),
            self.whole("bbox_x0_vx", |o| Some(o.bounds.start.x as i64)),
            self.whole("bbox_z1_vx", |o| Some(o.bounds.end().z as i64)),
            self.whole("bbox_y1_vx", |o| Some(o.bounds.end().y as i64)),
            self.whole("bbox_x1_vx", |o| Some(o.bounds.end().x as i64)),
            real("equivalent_diameter_nm", "equivalent_diameter_vx", &|o| Some(o.equivalent_diameter())),
            real("axis_major_nm", "axis_major_vx", &|o| Some(o.axes[0])),
            real("axis_middle_nm", "axis_middle_vx", &|o| Some(o.axes[1])),
            real("axis_minor_nm", "axis_minor_vx", &|o| Some(o.axes[2])),
            real("axis_major_z", "axis_major_z", &|o| Some(o.directions[0][0])),
            real("axis_major_y", "axis_major_y", &|o| Some(o.directions[0][1])),
            real("axis_major_x", "axis_major_x", &|o| Some(o.directions[0][2])),
            real("axis_minor_z", "axis_minor_z", &|o| Some(o.directions[2][0])),
            real("axis_minor_y", "axis_minor_y", &|o| Some(o.directions[2][1])),
            real("axis_minor_x", "axis_minor_x", &|o| Some(o.directions[2][2])),
            real("sphericity", "sphericity", &MeasuredObject::sphericity),
            real("elongation", "elongation", &MeasuredObject::elongation),
            self.whole("nearest_id", |o| o.nearest.map(|(id, _)| id.into())),
            real("nearest_nm", "nearest_vx", &|o| o.nearest.map(|(_, distance)| distance)),
            self.whole("largest_section", |o| Some(o.largest_section as i64)),
            self.whole("largest_section_voxels", |o| Some(o.largest_section_voxels as i64)),
            ("touches_border", Values::Flag(self.objects.iter().map(|o| Some(o.at_border)).collect())),
        ];
        for (name, values) in columns.into_iter().filter(|(name, _)| !name.is_empty()) {
            table.add(name, values);
        }
        if self.with_intensity {
            let (name, values) = table_real(&self.objects, "mean_intensity", &|o| o.mean_intensity);
            table.add(name, values);
        }
        table
    }

    fn whole(&self, name: &'static str, value: impl Fn(&MeasuredObject) -> Option<i64>) -> (&'static str, Values) {
        (name, Values::Whole(self.objects.iter().map(value).collect()))
    }
}

fn table_real(
    objects: &[MeasuredObject],
    name: &'static str,
    value: &dyn Fn(&MeasuredObject) -> Option<f64>,
) -> (&'static str, Values) {
    (name, Values::Real(objects.iter().map(value).collect()))
}
