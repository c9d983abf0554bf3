//! What is found: objects, and what they say together.

use deep3m_volume::{Region, VoxelSize};

use super::CountingFrame;
use crate::{Columns, Values};

/// A round object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundObject {
    /// Number from 1, in the order of the centres (z, then y, then x); of labels, their number.
    pub id: u64,
    /// Its centre's section, from the volume's first voxel's centre.
    pub z: f64,
    /// Its centre's row.
    pub y: f64,
    /// Its centre's column.
    pub x: f64,
    /// Half of its diameter in nm; in voxels, where the volume states no voxel size.
    pub radius: f64,
    /// The section that shows most of it.
    pub plane: u64,
    /// 1 for what looks as a whole object of the diameter does, 0 for what does not at all. Labels have none.
    pub confidence: Option<f64>,
    /// Whether it reaches the border of what was looked at.
    pub touches_border: bool,
    /// Whether it counts: always, but with a frame only those that the frame counts.
    pub counted: bool,
}

/// The round objects of a volume.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundObjects {
    /// Each of them.
    pub objects: Vec<RoundObject>,
    /// What was looked at.
    pub region: Region,
    /// The size of a voxel, where it is known.
    pub voxel_size: Option<VoxelSize>,
    /// The counting frame, where there is one.
    pub frame: Option<CountingFrame>,
    /// The diameter that was looked for; labels have none.
    pub diameter: Option<f64>,
}

impl RoundObjects {
    /// Those that count.
    pub fn counted(&self) -> impl Iterator<Item = &RoundObject> {
        self.objects.iter().filter(|object| object.counted)
    }

    /// How many count.
    pub fn count(&self) -> u64 {
        self.counted().count() as u64
    }

    /// How many of those that count touch the border.
    pub fn at_border(&self) -> u64 {
        self.counted().filter(|object| object.touches_border).count() as u64
    }

    /// What they are counted in, in µm³: the frame, or all that was looked at.
    pub fn volume_um3(&self) -> Option<f64> {
        let size = self.voxel_size?;
        let extent = self.region.extent;
        let all = extent.z as f64 * extent.y as f64 * extent.x as f64;
        let voxels = self.frame.map_or(all, |frame| frame.voxels());
        Some(voxels * size.z_nm * size.y_nm * size.x_nm / 1e9)
    }

    /// Objects per µm³.
    pub fn per_um3(&self) -> Option<f64> {
        self.volume_um3().filter(|&volume| volume > 0.0).map(|volume| self.count() as f64 / volume)
    }

    /// Mean and standard deviation of the diameters of those that count and do not touch the border, in the unit of the
    /// radius; none without such an object, no deviation for one.
    pub fn diameters(&self) -> Option<(f64, Option<f64>)> {
        let all: Vec<f64> = self.counted().filter(|o| !o.touches_border).map(|o| 2.0 * o.radius).collect();
        if all.is_empty() {
            return None;
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let squares = all.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>();
        let deviation = (all.len() > 1).then(|| (squares / (all.len() - 1) as f64).sqrt());
        Some((mean, deviation))
    }

    /// The standard error of the count, if each object were there with its confidence c, and independent of the others: the
    /// root of the sum of c (1 − c), the standard deviation of the Poisson binomial distribution.
    pub fn confidence_error(&self) -> Option<f64> {
        let each = |object: &RoundObject| object.confidence.map(|c| c * (1.0 - c));
        self.counted().map(each).sum::<Option<f64>>().filter(|_| self.diameter.is_some()).map(f64::sqrt)
    }

    /// The objects as a table. Columns in nm are there where the voxel size is known.
    pub fn table(&self) -> Columns {
        let mut table = Columns::default();
        let whole = |value: fn(&RoundObject) -> u64| {
            Values::Whole(self.objects.iter().map(|o| i64::try_from(value(o)).ok()).collect())
        };
        let real = |value: &dyn Fn(&RoundObject) -> Option<f64>| Values::Real(self.objects.iter().map(value).collect());
        let flag =
            |value: fn(&RoundObject) -> bool| Values::Flag(self.objects.iter().map(|o| Some(value(o))).collect());
        table.add("id", whole(|o| o.id));
        table.add("z", real(&|o| Some(o.z)));
        table.add("y", real(&|o| Some(o.y)));
        table.add("x", real(&|o| Some(o.x)));
        if let Some(size) = self.voxel_size {
            table.add("z_nm", real(&|o| Some(o.z * size.z_nm)));
            table.add("y_nm", real(&|o| Some(o.y * size.y_nm)));
            table.add("x_nm", real(&|o| Some(o.x * size.x_nm)));
            table.add("radius_nm", real(&|o| Some(o.radius)));
        } else {
            table.add("radius", real(&|o| Some(o.radius)));
        }
        table.add("plane", whole(|o| o.plane));
        table.add("confidence", real(&|o| o.confidence));
        table.add("touches_border", flag(|o| o.touches_border));
        table.add("counted", flag(|o| o.counted));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::Extent;

    #[test]
    fn what_objects_say_together() {
        let object = |id: u64, radius, confidence, touches_border| RoundObject {
            id,
            z: 1.0,
            y: 2.0,
            x: 3.0,
            radius,
            plane: 1,
            confidence,
            touches_border,
            counted: id != 4,
        };
        let mut all = RoundObjects {
            objects: vec![
                object(1, 20.0, Some(1.0), false),
                object(2, 22.0, Some(0.5), false),
                object(3, 90.0, Some(0.8), true),
                object(4, 90.0, Some(0.5), false),
            ],
            region: Region::whole(Extent::new(100, 100, 100)),
            voxel_size: VoxelSize::new(30.0, 10.0, 10.0),
            frame: None,
            diameter: Some(40.0),
        };
        assert_eq!((all.count(), all.at_border(), all.per_um3()), (3, 1, Some(1.0)));
        let (mean, deviation) = all.diameters().unwrap();
        assert!((mean - 42.0).abs() < 1e-12 && (deviation.unwrap() - 8.0_f64.sqrt()).abs() < 1e-12);
        assert!((all.confidence_error().unwrap() - 0.41_f64.sqrt()).abs() < 1e-12);
        let csv = all.table().to_csv();
        assert!(csv.starts_with(
            "id,z,y,x,z_nm,y_nm,x_nm,radius_nm,plane,confidence,touches_border,counted\n1,1,2,3,30,20,30,20,1,1,false,true\n"
        ));
        (all.voxel_size, all.diameter) = (None, None);
        assert!(all.table().to_csv().starts_with("id,z,y,x,radius,plane"));
        assert_eq!((all.per_um3(), all.confidence_error()), (None, None));
        all.objects.clear();
        assert_eq!((all.count(), all.diameters()), (0, None));
    }
}
