//! Meshes as files.

mod draco;
mod glb;
mod legacy;
mod multi_resolution;
mod obj;
mod octree;
mod ply;
mod stl;

use std::path::{Path, PathBuf};

use deep3m_volume::{Region, fs};
use rayon::prelude::*;

use super::{MeshSink, ObjectMesh};
use crate::AnalyzeError;
use crate::picture::{Rgb, palette};

/// What meshes are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshFormat {
    /// Stanford polygon file, binary: nm, a colour and a number for each triangle.
    Ply,
    /// Wavefront, text: nm.
    Obj,
    /// Stereolithography, binary: nm, no numbers.
    Stl,
    /// glTF 2.0, binary: nm in a node that scales to µm, with colours.
    Glb,
    /// Neuroglancer precomputed meshes, several levels of detail, Draco.
    MultiResolution,
    /// Neuroglancer precomputed meshes of one level, as older programs read them.
    Legacy,
}

impl MeshFormat {
    /// The format that a name's ending says.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "ply" => Some(Self::Ply),
            "obj" => Some(Self::Obj),
            "stl" => Some(Self::Stl),
            "glb" => Some(Self::Glb),
            "precomputed" => Some(Self::MultiResolution),
            _ => None,
        }
    }

    /// The ending of a file; `None` for the formats that are folders.
    pub const fn ending(self) -> Option<&'static str> {
        match self {
            Self::Ply => Some("ply"),
            Self::Obj => Some("obj"),
            Self::Stl => Some("stl"),
            Self::Glb => Some("glb"),
            Self::MultiResolution | Self::Legacy => None,
        }
    }

    /// Objects as one file of a format that is no folder.
    fn encode(self, path: &Path, objects: &[ObjectMesh]) -> Result<Vec<u8>, AnalyzeError> {
        match self {
            Self::Ply => ply::encode(path, objects),
            Self::Obj => Ok(obj::encode(objects)),
            Self::Stl => stl::encode(path, objects),
            Self::Glb | Self::MultiResolution | Self::Legacy => glb::encode(path, objects),
        }
    }
}

/// More than a format or the memory holds.
fn too_large(path: &Path, what: &str) -> AnalyzeError {
    let reason = format!(
        "{what}. Write a file for each object (-o FOLDER), or fewer triangles (a larger --max-error, --ids, --min-size)"
    );
    AnalyzeError::MeshFile { path: path.to_owned(), reason }
}

/// Writes every object to a file of its own as soon as it comes: `FOLDER/ID.ply`, or the files of a precomputed folder.
pub struct FolderOfMeshes {
    folder: PathBuf,
    format: MeshFormat,
}

impl FolderOfMeshes {
    /// Into a folder, which is made.
    ///
    /// # Errors
    /// What writing met.
    pub fn new(folder: &Path, format: MeshFormat) -> Result<Self, AnalyzeError> {
        fs::create_dir(folder)?;
        let info = match format {
            MeshFormat::MultiResolution => Some(multi_resolution::info()),
            MeshFormat::Legacy => Some(legacy::info()),
            _ => None,
        };
        if let Some(info) = info {
            fs::write_piece(&folder.join("info"), info.as_bytes())?;
        }
        Ok(Self { folder: folder.to_owned(), format })
    }

    /// The files of an object.
    fn files(&self, object: ObjectMesh) -> Result<Vec<(PathBuf, Vec<u8>)>, AnalyzeError> {
        let path = |name: String| self.folder.join(name);
        let id = object.id;
        Ok(match (self.format, self.format.ending()) {
            (MeshFormat::MultiResolution, _) => {
                let (index, fragments) = multi_resolution::encode(&object);
                vec![(path(id.to_string()), fragments), (path(format!("{id}.index")), index)]
            }
            (MeshFormat::Legacy, _) | (_, None) => {
                let name = format!("{id}:0:0");
                let list = serde_json::json!({ "fragments": [name] }).to_string();
                vec![(path(name), legacy::encode(&object)), (path(format!("{id}:0")), list.into_bytes())]
            }
            (format, Some(ending)) => {
                let path = path(format!("{id}.{ending}"));
                let bytes = format.encode(&path, &[object])?;
                vec![(path, bytes)]
            }
        })
    }

    /// Makes the names of the files last.
    ///
    /// # Errors
    /// What writing met.
    pub fn finish(&self) -> Result<(), AnalyzeError> {
        Ok(fs::sync_dir(&self.folder)?)
    }
}

impl MeshSink for FolderOfMeshes {
    fn begin(&mut self, _: Region, _: usize) -> Result<(), AnalyzeError> {
        Ok(())
    }

    fn take(&mut self, objects: Vec<ObjectMesh>) -> Result<(), AnalyzeError> {
        let files: Result<Vec<_>, _> = objects.into_par_iter().map(|object| self.files(object)).collect();
        let files: Vec<(PathBuf, Vec<u8>)> = files?.into_iter().flatten().collect();
        Ok(fs::write_pieces(&files)?)
    }
}

/// Holds all objects, and writes them to one file at the end.
pub struct FileOfMeshes {
    path: PathBuf,
    format: MeshFormat,
    objects: Vec<ObjectMesh>,
    held: u64,
    room: u64,
}

/// A file takes about as much as what it is made of.
const FILE_AND_MESH: u64 = 2;

impl FileOfMeshes {
    /// Into a file, holding at most so many bytes on the way.
    pub fn new(path: &Path, format: MeshFormat, room: u64) -> Self {
        Self { path: path.to_owned(), format, objects: Vec::new(), held: 0, room }
    }

    /// Writes the file: whole, or not at all.
    ///
    /// # Errors
    /// What does not fit the format; what writing met.
    pub fn finish(mut self) -> Result<(), AnalyzeError> {
        self.objects.sort_by_key(|object| object.id);
        let bytes = self.format.encode(&self.path, &self.objects)?;
        Ok(fs::write_atomic(&self.path, &bytes)?)
    }
}

impl MeshSink for FileOfMeshes {
    fn begin(&mut self, _: Region, _: usize) -> Result<(), AnalyzeError> {
        Ok(())
    }

    fn take(&mut self, objects: Vec<ObjectMesh>) -> Result<(), AnalyzeError> {
        for mut object in objects {
            // Only the finest is written.
            object.levels.truncate(1);
            let numbers: usize = object.levels.iter().map(|l| l.mesh.places.len() + l.mesh.triangles.len()).sum();
            self.held += FILE_AND_MESH * 12 * numbers as u64;
            self.objects.push(object);
        }
        if self.held > self.room {
            return Err(too_large(&self.path, "all meshes in one file take more memory than there is for them"));
        }
        Ok(())
    }
}

fn colour(id: u32) -> Rgb {
    palette::of_object(id)
}
