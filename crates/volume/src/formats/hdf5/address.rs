//! `vol.h5:/group/dataset`: a file and a dataset in it.

use std::path::{Path, PathBuf};

/// The endings of HDF5 files.
const ENDINGS: [&str; 3] = ["h5", "hdf5", "hdf"];

/// A dataset in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The file.
    pub(crate) file: PathBuf,
    /// The names on the way to the dataset; `None` where the address names the file alone.
    pub(crate) dataset: Option<Vec<String>>,
}

impl Address {
    /// Splits an address; `None` where it is not one of an HDF5 file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        if let Some(text) = path.to_str() {
            let lower = text.to_ascii_lowercase();
            let end = |ending: &str| lower.find(&format!(".{ending}:")).map(|at| at + ending.len() + 1);
            if let Some(colon) = ENDINGS.into_iter().filter_map(end).min() {
                let names = text[colon + 1..].split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                return Some(Self { file: text[..colon].into(), dataset: Some(names) });
            }
        }
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        ENDINGS.contains(&ending.as_str()).then(|| Self { file: path.to_owned(), dataset: None })
    }

    /// An address without names stands for the whole file.
    pub(super) fn names(&self) -> Option<&[String]> {
        self.dataset.as_deref().filter(|names| !names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split() {
        let of = |text: &str| Address::of(Path::new(text)).map(|a| (a.file.display().to_string(), a.dataset));
        let names = |names: &[&str]| Some(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert_eq!(of("a/vol.h5"), Some(("a/vol.h5".into(), None)));
        assert_eq!(of("a/vol.h5:/x/y"), Some(("a/vol.h5".into(), names(&["x", "y"]))));
        assert_eq!(of("VOL.HDF5:x"), Some(("VOL.HDF5".into(), names(&["x"]))));
        assert_eq!(of("c.hdf:/v/a.h5:b"), Some(("c.hdf".into(), names(&["v", "a.h5:b"]))));
        assert_eq!(of("C:\\data\\vol.h5:/x"), Some(("C:\\data\\vol.h5".into(), names(&["x"]))));
        assert_eq!(of("vol.h5:/"), Some(("vol.h5".into(), names(&[]))));
        for other in ["vol.tif", "vol.h5.zarr", "h5", "s3://bucket/vol.zarr", "vol.h55:/x"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
