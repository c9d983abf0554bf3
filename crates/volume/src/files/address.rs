//! Addresses with a scheme: `s3://bucket/folder/vol.zarr`.

use std::path::{Path, PathBuf};

use super::check_key;
use crate::{Place, VolumeError};

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Amazon S3, and what speaks as it does (MinIO, Ceph, R2).
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage, Data Lake Storage.
    Azure,
    /// A web server, to read only.
    Web,
}

/// An address, cut into the store and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// The store: `s3://bucket`, `http://host:port`.
    pub(crate) root: String,
    /// The prefix of the volume's keys, without `/` at its ends.
    pub(crate) prefix: String,
}

impl Address {
    /// An address with a scheme; `None` for a path on this machine.
    ///
    /// # Errors
    /// [`VolumeError::Unsupported`] for another scheme, [`VolumeError::Malformed`] for an address that leads nowhere.
    pub(crate) fn parse(path: &Path) -> Result<Option<Self>, VolumeError> {
        let Some((name, rest)) = path.to_str().and_then(|text| text.split_once("://")) else { return Ok(None) };
        // One letter is a drive of Windows; anything else before `://` is a folder's name.
        if name.len() < 2 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
            return Ok(None);
        }
        let scheme = match name {
            "s3" | "s3a" => Scheme::S3,
            "gs" => Scheme::Google,
            "az" | "abfs" | "abfss" => Scheme::Azure,
            "http" | "https" => Scheme::Web,
            _ => {
                return Err(VolumeError::Unsupported {
                    place: Place::file(path),
                    found: format!("an address that begins with {name}://"),
                    expected: "s3://, gs://, az://, abfs://, http:// or https://, or a path on this machine".into(),
                    hint: "Copy the volume to one of these.".into(),
                });
            }
        };
        if scheme == Scheme::Web && rest.contains(['?', '#']) {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: "a web address with '?' or '#'".into(),
                expected: "the address of a folder, to which the names of files can be added".into(),
                hint: "Signed addresses of single files do not lead to a volume: read it with s3://, gs:// or az://."
                    .into(),
            });
        }
        let (store, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if store.is_empty() {
            return Err(VolumeError::malformed(Place::file(path), "no name after ://", "a bucket or a host"));
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            check_key(path, prefix)?;
        }
        Ok(Some(Self { scheme, root: format!("{name}://{store}"), prefix: prefix.to_owned() }))
    }

    /// The address of a key below the prefix, as errors name it.
    pub(crate) fn of(&self, key: &str) -> PathBuf {
        [self.root.as_str(), self.prefix.as_str(), key]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/")
            .into()
    }

    /// The error of a program that was built without object storage.
    #[cfg(not(feature = "cloud"))]
    pub(crate) fn without_cloud(&self) -> VolumeError {
        VolumeError::Unsupported {
            place: Place::file(self.of("")),
            found: "an address of object storage".into(),
            expected: "a path on this machine, as this program was built without object storage".into(),
            hint: "Build it with the feature `cloud`, or copy the volume to this machine.".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_cut_into_store_and_prefix() {
        for (text, scheme, root, prefix) in [
            ("s3://bucket/em/vol.zarr", Scheme::S3, "s3://bucket", "em/vol.zarr"),
            ("s3a://bucket/vol.zarr/", Scheme::S3, "s3a://bucket", "vol.zarr"),
            ("gs://bucket", Scheme::Google, "gs://bucket", ""),
            (
                "abfs://box@account.dfs.core.windows.net/a b",
                Scheme::Azure,
                "abfs://box@account.dfs.core.windows.net",
                "a b",
            ),
            ("http://127.0.0.1:8000/v.zarr", Scheme::Web, "http://127.0.0.1:8000", "v.zarr"),
        ] {
            let address = Address::parse(Path::new(text)).unwrap().unwrap();
            assert_eq!((address.scheme, address.root.as_str(), address.prefix.as_str()), (scheme, root, prefix));
            assert_eq!(address.of("").to_str().unwrap(), text.trim_end_matches('/'));
            assert!(address.of("0/c").to_str().unwrap().ends_with("/0/c"));
        }
    }

    #[test]
    fn paths_are_no_addresses() {
        for text in ["vol.zarr", "/data/vol.zarr", "C:\\vol", "c://vol", "odd name://x", "s3:/bucket"] {
            assert_eq!(Address::parse(Path::new(text)).unwrap(), None, "{text}");
        }
    }

    #[test]
    fn addresses_that_lead_nowhere_say_so() {
        for (text, expected) in [
            ("ftp://host/vol.zarr", "ftp://"),
            ("s3://", "no name"),
            ("s3:///vol.zarr", "no name"),
            ("s3://bucket/../other", "../other"),
            ("s3://bucket//vol.zarr", "name"),
            ("https://host/vol.zarr?token=1", "'?'"),
        ] {
            let error = Address::parse(Path::new(text)).unwrap_err().to_string();
            assert!(error.starts_with(text) && error.contains(expected), "{error}");
        }
    }
}
