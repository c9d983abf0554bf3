//! What the first page's description says of the whole: ImageJ's key=value lines or OME-XML.

use crate::{Place, VolumeError, VoxelSize};

/// The parts of a description that matter here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Description {
    /// Whether ImageJ or Fiji wrote the file.
    pub(super) imagej: bool,
    /// The number of images that ImageJ says follow each other, also where only the first has a directory.
    pub(super) images: Option<u64>,
    pub(super) channels: u64,
    pub(super) slices: u64,
    pub(super) frames: u64,
    /// Sizes of a voxel in nm, each where known.
    z_nm: Option<f64>,
    y_nm: Option<f64>,
    x_nm: Option<f64>,
}

/// The resolution tags of a page: pixels per unit, and TIFF's number of the unit (2 inch, 3 centimetre).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Resolution {
    pub(super) x: Option<f64>,
    pub(super) y: Option<f64>,
    pub(super) unit: Option<u64>,
}

impl Description {
    pub(super) fn new(text: &str, resolution: Resolution) -> Self {
        let start = text.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with("ImageJ=") {
            Self::imagej(text, resolution)
        } else if start.starts_with('<') && start.contains("OME") {
            Self::ome(start).unwrap_or_else(Self::unknown)
        } else {
            Self::unknown()
        }
    }

    fn unknown() -> Self {
        Self { channels: 1, slices: 1, frames: 1, ..Self::default() }
    }

    fn imagej(text: &str, resolution: Resolution) -> Self {
        let value =
            |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('=')).map(str::trim);
        let number = |key: &str| value(key).and_then(|v| v.parse::<u64>().ok());
        let images = number("images");
        let spacing = value("spacing").and_then(|v| v.parse::<f64>().ok()).map(f64::abs);
        let unit = value("unit").and_then(nanometres).or_else(|| match (resolution.unit, spacing) {
            // Without a spacing these tags are mostly a screen's dots per inch.
            (Some(2), Some(_)) => nanometres("inch"),
            (Some(3), Some(_)) => nanometres("cm"),
            _ => None,
        });
        // ImageJ leaves out a spacing of 1.
        let spacing = spacing.or_else(|| images.is_some_and(|n| n > 1).then_some(1.0));
        let pitch = |per_unit: Option<f64>| Some(unit? / per_unit?);
        Self {
            imagej: true,
            images,
            channels: number("channels").unwrap_or(1),
            slices: number("slices").unwrap_or(1),
            frames: number("frames").unwrap_or(1),
            z_nm: spacing.and_then(|s| Some(s * unit?)),
            y_nm: pitch(resolution.y),
            x_nm: pitch(resolution.x),
        }
    }

    /// The first image of OME-XML (<https://docs.openmicroscopy.org/ome-model/>).
    fn ome(text: &str) -> Option<Self> {
        let document = roxmltree::Document::parse(text).ok()?;
        let pixels =
            document.descendants().find(|node| node.has_tag_name("Pixels") || node.tag_name().name() == "Pixels")?;
        let count = |name: &str| pixels.attribute(name).and_then(|v| v.parse::<u64>().ok()).unwrap_or(1);
        let size = |axis: &str| {
            let value: f64 = pixels.attribute(format!("PhysicalSize{axis}").as_str())?.parse().ok()?;
            let unit = pixels.attribute(format!("PhysicalSize{axis}Unit").as_str()).unwrap_or("µm");
            Some(value * nanometres(unit)?)
        };
        Some(Self {
            imagej: false,
            images: None,
            channels: count("SizeC"),
            slices: count("SizeZ"),
            frames: count("SizeT"),
            z_nm: size("Z"),
            y_nm: size("Y"),
            x_nm: size("X"),
        })
    }

    pub(super) fn voxel_size(&self) -> Option<VoxelSize> {
        VoxelSize::converted(self.z_nm?, self.y_nm?, self.x_nm?)
    }

    /// Whether the pages can be taken as the sections of one volume, in order.
    pub(super) fn check_sections(&self, place: Place) -> Result<(), VolumeError> {
        // Many programs save the sections of a volume as time points; several of both are two axes.
        if self.channels > 1 || self.slices > 1 && self.frames > 1 {
            return Err(VolumeError::Unsupported {
                place,
                found: format!("{} channels, {} sections, {} time points", self.channels, self.slices, self.frames),
                expected: "one channel and one time point".into(),
                hint: "Save one of them by itself, for example in Fiji with Image > Duplicate.".into(),
            });
        }
        Ok(())
    }
}

/// A unit of length as ImageJ and OME spell it, in nanometres.
fn nanometres(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        "pm" | "picometer" => 1e-3,
        "Å" | "\u{212b}" | "A" | "angstrom" => 0.1,
        "nm" | "nanometer" | "nanometers" | "nanometre" => 1.0,
        // The micro sign, the Greek letter, ImageJ's escape, and plain words.
        "µm" | "μm" | "\\u00B5m" | "um" | "micron" | "microns" | "micrometer" | "micrometre" => 1e3,
        "mm" | "millimeter" => 1e6,
        "cm" | "centimeter" => 1e7,
        "inch" | "in" => 25.4e6,
        "m" | "meter" => 1e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagej(text: &str, x: f64, unit: u64) -> Option<VoxelSize> {
        Description::new(text, Resolution { x: Some(x), y: Some(x), unit: Some(unit) }).voxel_size()
    }

    #[test]
    fn voxel_sizes_of_imagej() {
        let text = "ImageJ=1.53t\nimages=20\nslices=20\nunit=micron\nspacing=0.05\nloop=false\n";
        assert_eq!(imagej(text, 200.0, 1), VoxelSize::new(50.0, 5.0, 5.0));
        assert_eq!(
            imagej("ImageJ=1\nimages=2\nunit=\\u00B5m\n", 250.0, 1),
            VoxelSize::new(1000.0, 4.0, 4.0),
            "spacing 1"
        );
        assert_eq!(imagej("ImageJ=1\nimages=2\nspacing=1e-5\n", 1e6, 3), VoxelSize::new(100.0, 10.0, 10.0), "cm");
        assert_eq!(imagej("ImageJ=1\nimages=2\n", 72.0, 2), None, "a screen's resolution");
        assert_eq!(imagej("ImageJ=1\nimages=2\nunit=pixel\nspacing=3\n", 1.0, 1), None);
        assert_eq!(imagej("ImageJ=1\nunit=nm\n", 0.25, 1), None, "one image has no thickness");
    }

    #[test]
    fn voxel_sizes_of_ome() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
            <Image ID="Image:0"><Pixels DimensionOrder="XYCZT" SizeC="1" SizeT="1" SizeX="9" SizeY="8" SizeZ="7" Type="uint8"
            PhysicalSizeX="4.6" PhysicalSizeXUnit="nm" PhysicalSizeY="0.0046" PhysicalSizeZ="0.05" PhysicalSizeZUnit="µm"/></Image></OME>"#;
        let description = Description::new(text, Resolution::default());
        assert_eq!(description.voxel_size(), VoxelSize::new(50.0, 4.6, 4.6));
        assert_eq!(description.slices, 7);
        description.check_sections(Place::default()).unwrap();
        let two = Description::new(&text.replace("SizeC=\"1\"", "SizeC=\"2\""), Resolution::default());
        assert!(two.check_sections(Place::default()).unwrap_err().to_string().contains("2 channels"));
        assert_eq!(Description::new("<OME><broken", Resolution::default()), Description::unknown());
    }
}
