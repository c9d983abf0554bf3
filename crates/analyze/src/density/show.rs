//! Density as a table and as charts.

use super::{Axis, Density, DensityWindow};
use crate::columns::{Columns, Values};
use crate::plot::{Chart, Line};

impl Density {
    /// A row per window.
    pub fn table(&self) -> Columns {
        let whole =
            |value: &dyn Fn(&DensityWindow) -> Option<i64>| Values::Whole(self.windows.iter().map(value).collect());
        let real =
            |value: &dyn Fn(&DensityWindow) -> Option<f64>| Values::Real(self.windows.iter().map(value).collect());
        let voxel_um3 = self.voxel_size.z_nm * self.voxel_size.y_nm * self.voxel_size.x_nm / 1e9;
        let mut table = Columns::default();
        table.add("axis", Values::Text(self.windows.iter().map(|w| Some(w.axis.to_string())).collect()));
        table.add("position_um", real(&|w| Some(w.position_nm / 1e3)));
        table.add("first_plane", whole(&|w| Some(w.first as i64)));
        table.add("planes", whole(&|w| Some(w.planes as i64)));
        table.add("objects", whole(&|w| Some(w.objects as i64)));
        table.add("tissue_um3", real(&|w| Some(w.tissue_voxels as f64 * voxel_um3)));
        table.add("objects_per_mm3", real(&|w| w.objects_per_mm3));
        if self.volume_fraction.is_some() || self.windows.iter().any(|w| w.object_voxels.is_some()) {
            table.add("object_um3", real(&|w| w.object_voxels.map(|voxels| voxels as f64 * voxel_um3)));
            table.add("volume_fraction", real(&|w| w.volume_fraction));
        }
        table
    }

    /// A chart of objects per mm³ and, of objects with a volume, one of their share of the volume; a line for each axis.
    pub fn charts(&self) -> Vec<Chart> {
        let chart = |title: &str, y: &str, value: &dyn Fn(&DensityWindow) -> Option<f64>| Chart {
            title: title.to_owned(),
            x: "position (µm)".to_owned(),
            y: y.to_owned(),
            lines: self.lines(value),
            ..Chart::default()
        };
        let mut charts = vec![chart("Number of objects", "objects per mm³", &|w| w.objects_per_mm3)];
        if self.volume_fraction.is_some() {
            charts.push(chart("Volume of objects", "share of the volume", &|w| w.volume_fraction));
        }
        charts
    }

    fn lines(&self, value: &dyn Fn(&DensityWindow) -> Option<f64>) -> Vec<Line> {
        let axes = Axis::ALL.into_iter().filter(|axis| self.windows.iter().any(|window| window.axis == *axis));
        axes.map(|axis| {
            let mine = self.windows.iter().filter(|window| window.axis == axis);
            let points: Vec<(f64, f64)> = mine.filter_map(|w| Some((w.position_nm / 1e3, value(w)?))).collect();
            Line { name: format!("along {axis}"), dots: points.len() < 40, points, dashed: false }
        })
        .collect()
    }
}
