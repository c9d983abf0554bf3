//! Points in space, such as the middles of objects, with their reading from a table.

use std::path::Path;

use deep3m_volume::VoxelSize;

use crate::AnalyzeError;
use crate::columns::CsvTable;

/// Points of a volume. The middle of its first voxel is at 0, 0, 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// Places (z, y, x) in nm.
    pub positions_nm: Vec<[f64; 3]>,
    /// Radii in nm, one per point, where they are known.
    pub radii_nm: Option<Vec<f64>>,
    /// How sure each point is, where that is known: from 0 to 1.
    pub confidences: Option<Vec<f64>>,
}

/// What places are called: columns of z, y and x, and whether they are in nm or in voxels.
const POSITIONS: [([&str; 3], Unit); 6] = [
    (["centroid_z_nm", "centroid_y_nm", "centroid_x_nm"], Unit::Nm),
    (["z_nm", "y_nm", "x_nm"], Unit::Nm),
    (["centroid_z_um", "centroid_y_um", "centroid_x_um"], Unit::Um),
    (["z_um", "y_um", "x_um"], Unit::Um),
    (["centroid_z_vx", "centroid_y_vx", "centroid_x_vx"], Unit::Voxels),
    (["z", "y", "x"], Unit::Voxels),
];

#[derive(Clone, Copy)]
enum Unit {
    Nm,
    Um,
    Voxels,
}

impl Points {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.positions_nm.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions_nm.is_empty()
    }

    /// Reads points from a CSV file: columns centroid_z_nm, centroid_y_nm, centroid_x_nm (or z_nm …, centroid_z_um …), or in
    /// voxels centroid_z_vx … or z, y, x, which need the voxel size. The columns radius_nm or diameter_nm, and confidence, are
    /// read where they are there.
    ///
    /// # Errors
    /// [`AnalyzeError::PointColumns`] without such columns, [`AnalyzeError::NoVoxelSize`] for voxels without a size,
    /// [`AnalyzeError::TableRow`] for a cell that is no number.
    pub fn read_csv(path: &Path, voxel_size: Option<VoxelSize>) -> Result<Self, AnalyzeError> {
        let table = CsvTable::read(path)?;
        let names = |names: &[&str; 3]| names.iter().all(|name| table.names().iter().any(|other| other == name));
        let Some((columns, unit)) = POSITIONS.iter().find(|(columns, _)| names(columns)) else {
            return Err(AnalyzeError::PointColumns { path: path.to_owned(), found: table.names().join(", ") });
        };
        let scale = match (unit, voxel_size) {
            (Unit::Nm, _) => [1.0; 3],
            (Unit::Um, _) => [1e3; 3],
            (Unit::Voxels, Some(size)) => [size.z_nm, size.y_nm, size.x_nm],
            (Unit::Voxels, None) => {
                let what = "the places of its points are in voxels; for nm the size of voxels must be known";
                return Err(AnalyzeError::NoVoxelSize { path: path.to_owned(), what });
            }
        };
        let [z, y, x] = columns.map(|name| table.full_numbers(name));
        let [z, y, x] = [z?, y?, x?].map(Option::unwrap_or_default);
        let place = |((z, y), x): ((f64, f64), f64)| [z * scale[0], y * scale[1], x * scale[2]];
        let radii_nm = match table.full_numbers("radius_nm")? {
            Some(radii) => Some(radii),
            None => table.full_numbers("diameter_nm")?.map(|all| all.iter().map(|diameter| diameter / 2.0).collect()),
        };
        Ok(Self {
            positions_nm: z.into_iter().zip(y).zip(x).map(place).collect(),
            radii_nm,
            confidences: table.full_numbers("confidence")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, size: Option<VoxelSize>) -> Result<Points, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.csv");
        std::fs::write(&path, text).unwrap();
        Points::read_csv(&path, size).map_err(|error| error.to_string())
    }

    #[test]
    fn places_are_in_nanometres_whatever_the_unit() {
        let size = VoxelSize::new(30.0, 10.0, 5.0);
        for (text, size) in [
            ("id,centroid_x_nm,centroid_y_nm,centroid_z_nm\n7,20,30,60\n", None),
            ("z_um,y_um,x_um\n0.06,0.03,0.02\n", None),
            ("z,y,x\n2,3,4\n", size),
        ] {
            let points = read(text, size).unwrap();
            assert_eq!((points.len(), points.positions_nm[0]), (1, [60.0, 30.0, 20.0]), "{text}");
        }
        let points = read("z_nm,y_nm,x_nm,diameter_nm,confidence\n1,2,3,40,0.5\n", None).unwrap();
        assert_eq!((points.radii_nm, points.confidences), (Some(vec![20.0]), Some(vec![0.5])));
        assert!(read("z_nm,y_nm,x_nm\n", None).unwrap().is_empty());
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = read("z,y\n1,2\n", None).unwrap_err();
        assert!(error.contains("columns z, y;") && error.contains("centroid_z_nm"), "{error}");
        let error = read("z,y,x\n1,2,3\n", None).unwrap_err();
        assert!(error.contains("--voxel-size"), "{error}");
        let error = read("z_nm,y_nm,x_nm\n1,2,3\n1,,3\n", None).unwrap_err();
        assert!(error.contains("line 3") && error.contains("y_nm"), "{error}");
    }
}
