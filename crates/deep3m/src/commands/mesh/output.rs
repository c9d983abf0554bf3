//! Where meshes are written, so that no half of them is taken for the whole.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use deep3m_analyze::{FileOfMeshes, FolderOfMeshes, MeshFormat, MeshSink};
use deep3m_volume::{VolumeError, fs, is_remote};
use miette::{IntoDiagnostic, Result};

/// A format as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format(MeshFormat);

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text.to_ascii_lowercase().as_str() {
            "ply" => MeshFormat::Ply,
            "obj" => MeshFormat::Obj,
            "stl" => MeshFormat::Stl,
            "glb" => MeshFormat::Glb,
            "precomputed" => MeshFormat::MultiResolution,
            "precomputed-legacy" => MeshFormat::Legacy,
            _ => return Err(format!("'{text}' found; expected ply, obj, stl, glb, precomputed or precomputed-legacy")),
        }))
    }
}

/// What is to be written.
pub(super) struct Output {
    out: PathBuf,
    format: MeshFormat,
    is_file: bool,
}

/// What is being written.
pub(super) enum Begun {
    File(FileOfMeshes),
    Folder { sink: FolderOfMeshes, partial: Partial, out: PathBuf },
}

/// A folder that is not whole; removed unless it is given its name.
pub(super) struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already once it has its name.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Output {
    /// From the name, and the format if one is given.
    pub(super) fn new(out: &Path, format: Option<Format>, overwrite: bool) -> Result<Self> {
        let shown = out.display();
        if is_remote(out) {
            miette::bail!("{shown}: found an output in object storage; expected a path on this machine");
        }
        let (given, named) = (format.map(|format| format.0), MeshFormat::of(out));
        let is_folder = |format: MeshFormat| format.ending().is_none();
        let agree = match (given, named) {
            (Some(given), Some(named)) => given == named || (is_folder(given) && is_folder(named)),
            _ => true,
        };
        if !agree {
            miette::bail!(
                "{shown}: its ending and --format say different formats; leave --format out, or name a folder"
            );
        }
        let is_file = named.is_some_and(|named| !is_folder(named));
        let format = given.or(named).unwrap_or(MeshFormat::Ply);
        if out.file_name().is_none() {
            miette::bail!("{shown}: found no name; expected that of a file or folder to make");
        }
        if out.exists() {
            if !overwrite {
                miette::bail!("{shown}: already exists; choose another name, or give --overwrite to replace it");
            }
            if is_file && out.is_dir() {
                miette::bail!("{shown}: found a folder; expected a file to replace");
            }
            if !is_file {
                only_meshes(out)?;
            }
        }
        Ok(Self { out: out.to_owned(), format, is_file })
    }

    pub(super) const fn is_file(&self) -> bool {
        self.is_file
    }

    pub(super) fn has_levels(&self) -> bool {
        self.format == MeshFormat::MultiResolution
    }

    /// Begins to write; a file is held in at most so many bytes.
    pub(super) fn begin(&self, file_bytes: u64) -> Result<Begun> {
        if self.is_file {
            return Ok(Begun::File(FileOfMeshes::new(&self.out, self.format, file_bytes)));
        }
        let mut name = self.out.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = self.out.with_file_name(name);
        if partial.exists() {
            // What a killed process left.
            only_meshes(&partial)?;
            fs::remove_dir(&partial).into_diagnostic()?;
        }
        let sink = FolderOfMeshes::new(&partial, self.format).into_diagnostic()?;
        Ok(Begun::Folder { sink, partial: Partial(partial), out: self.out.clone() })
    }
}

impl Begun {
    pub(super) fn sink(&mut self) -> &mut dyn MeshSink {
        match self {
            Self::File(sink) => sink,
            Self::Folder { sink, .. } => sink,
        }
    }

    /// Gives what was written its name.
    pub(super) fn take_place(self) -> Result<()> {
        match self {
            Self::File(sink) => sink.finish().into_diagnostic(),
            Self::Folder { sink, partial, out } => {
                sink.finish().into_diagnostic()?;
                if out.exists() {
                    only_meshes(&out)?;
                    fs::remove_dir(&out).into_diagnostic()?;
                }
                std::fs::rename(&partial.0, &out)
                    .map_err(|error| VolumeError::io(&out, "rename", error))
                    .into_diagnostic()?;
                let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
                fs::sync_dir(parent.unwrap_or(Path::new("."))).into_diagnostic()
            }
        }
    }
}

/// An error if a folder holds anything but files of meshes: it is somebody's.
fn only_meshes(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        miette::bail!("{}: found a file; expected a folder to replace", folder.display());
    }
    for path in fs::list(folder).into_diagnostic()? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !path.is_file() || !(is_mesh(&name) || fs::is_temporary(path.file_name().unwrap_or_default())) {
            miette::bail!(
                "{}: holds {name}, which is no mesh; it is not replaced. Choose another name",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Whether a file has a name that this command gives.
fn is_mesh(name: &str) -> bool {
    let rest = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let has_number = rest.len() < name.len();
    name == "info" || (has_number && ["", ".index", ":0", ":0:0", ".ply", ".obj", ".stl", ".glb"].contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_is_written() {
        let here = tempfile::tempdir().unwrap();
        let of = |name: &str, format: Option<&str>| {
            let format = format.map(|format| format.parse().unwrap());
            let output = Output::new(&here.path().join(name), format, false)?;
            Ok::<_, miette::Report>((output.format, output.is_file))
        };
        assert_eq!(of("a.glb", None).unwrap(), (MeshFormat::Glb, true));
        assert_eq!(of("a.PLY", Some("ply")).unwrap(), (MeshFormat::Ply, true));
        assert_eq!(of("meshes", None).unwrap(), (MeshFormat::Ply, false));
        assert_eq!(of("meshes", Some("stl")).unwrap(), (MeshFormat::Stl, false));
        assert_eq!(of("m.precomputed", None).unwrap(), (MeshFormat::MultiResolution, false));
        assert_eq!(of("m.precomputed", Some("precomputed-legacy")).unwrap(), (MeshFormat::Legacy, false));
        assert_eq!(of("m", Some("precomputed")).unwrap(), (MeshFormat::MultiResolution, false));
        assert!(of("a.glb", Some("ply")).unwrap_err().to_string().contains("--format"));
        assert!(of("a.precomputed", Some("ply")).is_err());
        assert!("vrml".parse::<Format>().unwrap_err().contains("precomputed-legacy"));
        assert!(Output::new(Path::new("s3://lab/a.glb"), None, false).is_err());
    }

    #[test]
    fn only_meshes_are_replaced() {
        for name in ["info", "12", "12.index", "12:0", "12:0:0", "4000000000.ply"] {
            assert!(is_mesh(name), "{name}");
        }
        for name in ["thesis.txt", "12.csv", "info.json", "", ".ply", "a12.ply"] {
            assert!(!is_mesh(name), "{name}");
        }
    }
}
