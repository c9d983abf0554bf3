//! Addresses of volumes: paths, datasets in files (`vol.h5:/raw`), and places in object storage (`s3://…`).

use std::path::{Path, PathBuf};

use crate::formats::{hdf5, precomputed};
use crate::is_remote;

/// An address that means the same from every folder: a path from the root, an address with a scheme as it is.
pub fn absolute(address: &Path) -> PathBuf {
    if is_remote(address) {
        return address.to_owned();
    }
    std::path::absolute(address).unwrap_or_else(|_| address.to_owned())
}

/// Whether two addresses lead to the same file, folder or prefix: two datasets of one HDF5 file do.
pub fn same_place(a: &Path, b: &Path) -> bool {
    let file = |address: &Path| {
        let path = precomputed::strip_prefix(address).unwrap_or(address);
        hdf5::Address::of(path).map_or_else(|| path.to_owned(), |address| address.file)
    };
    let (a, b) = (file(a), file(b));
    if is_remote(&a) || is_remote(&b) {
        let text = |path: &Path| path.to_string_lossy().trim_end_matches('/').to_owned();
        return text(&a) == text(&b);
    }
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Whether two addresses lead to the same volume: as [`same_place`], but the datasets of an HDF5 file are told apart. An
/// address without a dataset means the file's only one.
pub fn same_volume(a: &Path, b: &Path) -> bool {
    let dataset = |address: &Path| hdf5::Address::of(address)?.dataset.filter(|names| !names.is_empty());
    let other = matches!((dataset(a), dataset(b)), (Some(a), Some(b)) if a != b);
    same_place(a, b) && !other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_in_other_words() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("v.h5"), "").unwrap();
        std::fs::create_dir(at("p")).unwrap();
        assert!(same_place(&at("v.h5"), &at("p/../v.h5")));
        assert!(same_place(&at("v.h5:/raw"), &at("v.h5:/labels")));
        assert!(!same_volume(&at("v.h5:/raw"), &at("v.h5:/labels")) && same_volume(&at("v.h5:/raw"), &at("v.h5:raw")));
        assert!(same_volume(&at("v.h5"), &at("v.h5:/raw")) && !same_volume(&at("v.h5"), &at("p")));
        let prefixed = PathBuf::from(format!("precomputed://{}", at("p").display()));
        assert!(same_place(&prefixed, &at("p")));
        assert!(
            !same_place(&at("v.h5"), &at("p")) && !same_place(&at("new"), &at("new")),
            "what is not there is no place"
        );
        let remote = Path::new("s3://bucket/v.zarr");
        assert!(
            same_place(remote, Path::new("s3://bucket/v.zarr/"))
                && !same_place(remote, Path::new("s3://bucket/w.zarr"))
        );
    }

    #[test]
    fn absolute_addresses() {
        assert_eq!(absolute(Path::new("s3://bucket/v.zarr")), Path::new("s3://bucket/v.zarr"));
        assert!(absolute(Path::new("v.h5:/raw")).ends_with("v.h5:/raw"));
        assert!(absolute(Path::new("v.tif")).is_absolute());
    }
}
