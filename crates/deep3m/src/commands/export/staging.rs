//! An export appears under its name when all of it is written.
//!
//! A folder is filled under a temporary name beside its place and renamed. One that is there already is replaced only if
//! it holds nothing but files of such an export.

use std::path::{Path, PathBuf};

use deep3m_net::sha256;
use deep3m_volume::{VolumeError, fs};
use miette::{IntoDiagnostic, Result};

use super::{ExportError, Written};

/// An export that is being written.
pub(super) struct Staging {
    target: PathBuf,
    /// Where a folder is filled.
    folder: PathBuf,
    written: Vec<Written>,
}

impl Staging {
    /// Starts a file. What is there already is replaced only with `overwrite`.
    pub(super) fn file(target: &Path, overwrite: bool) -> Result<Self, ExportError> {
        if target.is_dir() {
            return Err(ExportError::OtherKind { path: target.to_owned(), found: "a folder", expected: "a file" });
        }
        if target.exists() && !overwrite {
            return Err(ExportError::Exists { path: target.to_owned() });
        }
        Ok(Self { target: target.to_owned(), folder: PathBuf::new(), written: Vec::new() })
    }

    /// Writes the file.
    pub(super) fn publish_file(self, bytes: &[u8]) -> Result<Written> {
        fs::write_atomic(&self.target, bytes).into_diagnostic()?;
        Ok(Written::new(self.target.display().to_string(), bytes))
    }

    /// Starts a folder. With `overwrite` one that holds none but the files `known` may be replaced.
    pub(super) fn folder(target: &Path, overwrite: bool, known: &[String]) -> Result<Self> {
        if target.is_file() {
            let path = target.to_owned();
            return Err(ExportError::OtherKind { path, found: "a file", expected: "a folder" }.into());
        }
        if target.exists() {
            if !overwrite {
                return Err(ExportError::Exists { path: target.to_owned() }.into());
            }
            let others = fs::list(target).into_diagnostic()?.into_iter().filter_map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (!known.contains(&name) || !path.is_file()).then_some(name)
            });
            if let Some(found) = others.into_iter().next() {
                return Err(ExportError::OtherFiles { path: target.to_owned(), found }.into());
            }
        }
        let folder = beside(target, "part")?;
        // What an earlier process of the same number left when it was killed.
        fs::remove_dir(&folder).into_diagnostic()?;
        fs::create_dir(&folder).into_diagnostic()?;
        Ok(Self { target: target.to_owned(), folder, written: Vec::new() })
    }

    /// Adds a file to the folder.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write_piece(&self.folder.join(name), bytes).into_diagnostic()?;
        self.written.push(Written::new(name.to_owned(), bytes));
        Ok(())
    }

    /// Gives the folder its name.
    pub(super) fn publish(mut self) -> Result<Vec<Written>> {
        fs::sync_dir(&self.folder).into_diagnostic()?;
        let rename = |from: &Path, to: &Path| {
            std::fs::rename(from, to).map_err(|error| VolumeError::io(&self.target, "rename", error)).into_diagnostic()
        };
        if self.target.exists() {
            let old = beside(&self.target, "old")?;
            fs::remove_dir(&old).into_diagnostic()?;
            rename(&self.target, &old)?;
            if let Err(error) = rename(&self.folder, &self.target) {
                rename(&old, &self.target)?;
                return Err(error);
            }
            fs::remove_dir(&old).into_diagnostic()?;
        } else {
            rename(&self.folder, &self.target)?;
        }
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::sync_dir(parent.unwrap_or(Path::new("."))).into_diagnostic()?;
        Ok(std::mem::take(&mut self.written))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            // Gone already once it has its name.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Written {
    fn new(path: String, bytes: &[u8]) -> Self {
        Self { path, bytes: bytes.len(), sha256: sha256(bytes) }
    }
}

/// A temporary name beside a folder.
fn beside(target: &Path, what: &str) -> Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| ExportError::Exists { path: target.to_owned() })?;
    Ok(target.with_file_name(format!(".{}.{}.{what}", name.to_string_lossy(), std::process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        vec!["a".to_owned(), "b".to_owned()]
    }

    #[test]
    fn a_folder_is_whole_or_absent() {
        let at = tempfile::tempdir().unwrap();
        let target = at.path().join("new/out");
        let mut staging = Staging::folder(&target, false, &known()).unwrap();
        staging.add("a", b"abc").unwrap();
        assert!(!target.exists());
        drop(staging);
        assert!(fs::list(&at.path().join("new")).unwrap().is_empty(), "what was given up leaves nothing");

        let mut staging = Staging::folder(&target, false, &known()).unwrap();
        staging.add("a", b"abc").unwrap();
        let written = staging.publish().unwrap();
        // The test vector of FIPS 180.
        assert_eq!(written[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(fs::read(&target.join("a")).unwrap(), b"abc");
    }

    #[test]
    fn only_an_export_is_replaced() {
        let at = tempfile::tempdir().unwrap();
        let target = at.path().join("out");
        fs::write_atomic(&target.join("a"), b"old").unwrap();
        let refused = |overwrite| Staging::folder(&target, overwrite, &known()).err().unwrap().to_string();
        assert!(refused(false).contains("--overwrite"));
        let mut staging = Staging::folder(&target, true, &known()).unwrap();
        staging.add("b", b"new").unwrap();
        staging.publish().unwrap();
        assert_eq!(fs::list(&target).unwrap(), [target.join("b")], "the old export is gone");
        assert_eq!(fs::list(at.path()).unwrap(), [target.as_path()], "nothing else is there");

        fs::write_atomic(&target.join("thesis.txt"), b"mine").unwrap();
        assert!(refused(true).contains("thesis.txt"));
        let file = target.join("thesis.txt");
        assert!(Staging::folder(&file, true, &known()).is_err());
        assert!(Staging::file(&target, true).is_err());
        assert!(Staging::file(&file, false).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}
