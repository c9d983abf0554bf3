//! Finds the snapshots in the folders that CDeep3M trains into:
//! `1fm/trainedmodel/1fm_classifer_iter_N.caffemodel` (its own spelling) with `3fm` and `5fm` beside.

use std::path::{Path, PathBuf};

use deep3m_volume::{VolumeError, fs};

use crate::frames::Frames;

/// The ending of a snapshot's name.
const ENDING: &str = ".caffemodel";
/// The folder that CDeep3M's training writes snapshots into.
const TRAINED: &str = "trainedmodel";

/// A `.caffemodel` and what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// The number of frames, where the name of the folder or file tells.
    pub frames: Option<Frames>,
    /// The iteration, where the file's name tells.
    pub iteration: Option<u64>,
}

/// Why no snapshot was found, or not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] VolumeError),
    /// No snapshot where one should be.
    #[error("{}: no snapshot found; looked for {looked_for}{found}", path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// Where snapshots could have been.
        looked_for: String,
        /// What is there instead, as a clause; may be empty.
        found: String,
    },
    /// A file that holds no weights, or not in a form that is read.
    #[error("{}: {found}; expected a file ending in {ENDING}. {hint}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// No snapshot of that iteration.
    #[error("{}: no snapshot of iteration {iteration}; there are {}", path.display(), list(available))]
    NoIteration {
        /// The folder or file.
        path: PathBuf,
        /// What was asked for.
        iteration: u64,
        /// The iterations that there are.
        available: Vec<u64>,
    },
    /// Several snapshots of which any could be meant.
    #[error("{}: {} and {} could both be meant; give the file itself", folder.display(), first.display(), second.display())]
    Ambiguous {
        /// Their folder.
        folder: PathBuf,
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

fn list(iterations: &[u64]) -> String {
    match iterations {
        [] => "none with an iteration in its name".to_owned(),
        all => all.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The snapshots to import from a file, from a folder with `1fm`, `3fm` and `5fm` in it, from one of these, or from a
/// folder of snapshots: of each network the one with the highest iteration, or the one of `iteration`. Folders without a
/// snapshot are passed over if another has one.
pub fn find(path: &Path, iteration: Option<u64>) -> Result<Vec<Snapshot>, FindError> {
    if !path.is_dir() {
        // A missing file is the system's error.
        fs::size(path)?;
        return Ok(vec![single(path, iteration)?]);
    }
    let folders: Vec<(Frames, PathBuf)> =
        Frames::ALL.map(|frames| (frames, path.join(frames.name()))).into_iter().filter(|(_, p)| p.is_dir()).collect();
    if folders.is_empty() {
        let frames = frames_of_folder(path);
        let chosen = choose(&trained(path), frames, iteration)?;
        return if chosen.is_empty() { Err(nothing(path, &[path.to_owned()])) } else { Ok(chosen) };
    }
    let mut found = Vec::new();
    for (frames, folder) in &folders {
        found.extend(choose(&trained(folder), Some(*frames), iteration)?);
    }
    if found.is_empty() {
        let folders: Vec<PathBuf> = folders.into_iter().map(|(_, folder)| folder).collect();
        return Err(nothing(path, &folders));
    }
    Ok(found)
}

/// Where a network's snapshots lie.
fn trained(folder: &Path) -> PathBuf {
    let inner = folder.join(TRAINED);
    if inner.is_dir() { inner } else { folder.to_owned() }
}

/// The frames that a folder's name tells: its own, or of `1fm/trainedmodel` that of the folder above.
fn frames_of_folder(folder: &Path) -> Option<Frames> {
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let named = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        Frames::ALL.into_iter().find(|frames| frames.name() == name)
    };
    named(&folder).or_else(|| if folder.ends_with(TRAINED) { named(folder.parent()?) } else { None })
}

fn single(path: &Path, iteration: Option<u64>) -> Result<Snapshot, FindError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kind = |found, hint| Err(FindError::Kind { path: path.to_owned(), found, hint });
    if name.ends_with(".caffemodel.h5") {
        return kind(
            "an HDF5 snapshot",
            "Give the .caffemodel of the same training, or convert it in Caffe: caffe.Net('deploy.prototxt', \
             'FILE.caffemodel.h5', caffe.TEST).save('FILE.caffemodel')",
        );
    }
    if name.ends_with(".solverstate") || name.ends_with(".solverstate.h5") {
        return kind("the state of Caffe's solver, without the weights", "Give the .caffemodel of the same iteration");
    }
    if name.ends_with(".prototxt") {
        return kind("a description of a network, without weights", "Give the .caffemodel that was trained with it");
    }
    let snapshot = describe(path, None);
    match iteration {
        Some(wanted) if snapshot.iteration != Some(wanted) => Err(FindError::NoIteration {
            path: path.to_owned(),
            iteration: wanted,
            available: snapshot.iteration.into_iter().collect(),
        }),
        _ => Ok(snapshot),
    }
}

/// What a snapshot's name says: `1fm_classifer_iter_30000.caffemodel`. The folder's word on frames comes first.
fn describe(path: &Path, folder: Option<Frames>) -> Snapshot {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(ENDING).unwrap_or(name);
    let digits = stem.rsplit_once("_iter_").map(|(_, digits)| digits);
    let iteration = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok());
    let frames = folder.or_else(|| Frames::ALL.into_iter().find(|frames| stem.starts_with(frames.name())));
    Snapshot { path: path.to_owned(), frames, iteration }
}

/// Of the snapshots in a folder one per number of frames.
fn choose(folder: &Path, frames: Option<Frames>, iteration: Option<u64>) -> Result<Vec<Snapshot>, FindError> {
    let is_snapshot = |path: &PathBuf| path.to_string_lossy().ends_with(ENDING) && path.is_file();
    let mut snapshots: Vec<Snapshot> =
        fs::list(folder)?.iter().filter(|path| is_snapshot(path)).map(|path| describe(path, frames)).collect();
    if snapshots.is_empty() {
        return Ok(snapshots);
    }
    if let Some(wanted) = iteration {
        let mut available: Vec<u64> = snapshots.iter().filter_map(|s| s.iteration).collect();
        snapshots.retain(|s| s.iteration == Some(wanted));
        if snapshots.is_empty() {
            available.sort_unstable();
            return Err(FindError::NoIteration { path: folder.to_owned(), iteration: wanted, available });
        }
    }
    // By network, the highest iteration first; names without one come last.
    snapshots.sort_by(|a, b| (a.frames, b.iteration).cmp(&(b.frames, a.iteration)));
    let mut chosen: Vec<Snapshot> = Vec::new();
    for snapshot in snapshots {
        match chosen.last() {
            Some(best) if best.frames == snapshot.frames => {
                if best.iteration == snapshot.iteration {
                    let (first, second) = (best.path.clone(), snapshot.path);
                    return Err(FindError::Ambiguous { folder: folder.to_owned(), first, second });
                }
            }
            _ => chosen.push(snapshot),
        }
    }
    Ok(chosen)
}

/// The error of a folder without a snapshot: what was looked for, and what there is instead.
fn nothing(path: &Path, folders: &[PathBuf]) -> FindError {
    let looked_for: Vec<String> = folders
        .iter()
        .map(|folder| {
            let shown = trained(folder);
            shown.join("*.caffemodel").display().to_string()
        })
        .collect();
    let mut looked_for = looked_for.join(", ");
    if folders == [path] {
        looked_for += " and for folders 1fm, 3fm, 5fm with trainedmodel/*.caffemodel in them";
    }
    let files = folders.iter().filter_map(|folder| fs::list(&trained(folder)).ok()).flatten();
    let names: Vec<String> = files.map(|file| file.to_string_lossy().into_owned()).collect();
    let found = if names.iter().any(|name| name.ends_with(".caffemodel.h5")) {
        "; found HDF5 snapshots (.caffemodel.h5), which are not read: convert them in Caffe, \
         caffe.Net('deploy.prototxt', 'FILE.caffemodel.h5', caffe.TEST).save('FILE.caffemodel')"
    } else if names.iter().any(|name| name.ends_with(".solverstate")) {
        "; found states of the solver (.solverstate), which hold no weights"
    } else if names.iter().any(|name| name.ends_with(".safetensors")) {
        "; found .safetensors: if this is a model of Deep3M, use it as it is"
    } else {
        ""
    };
    FindError::Nothing { path: path.to_owned(), looked_for, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        folder
    }

    fn found(folder: &Path, iteration: Option<u64>) -> Vec<(String, Option<Frames>, Option<u64>)> {
        let root = folder.to_owned();
        let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
        let mut all: Vec<_> =
            find(folder, iteration).unwrap().into_iter().map(|s| (name(&s.path), s.frames, s.iteration)).collect();
        all.sort();
        all
    }

    #[test]
    fn the_highest_iteration_of_each_network_is_found() {
        let tree = tree(&[
            "1fm/trainedmodel/1fm_classifer_iter_2000.caffemodel",
            "1fm/trainedmodel/1fm_classifer_iter_10000.caffemodel",
            "1fm/trainedmodel/1fm_classifer_iter_10000.solverstate",
            "3fm/trainedmodel/3fm_classifer_iter_2000.caffemodel",
            "5fm/train.prototxt",
        ]);
        let (one, three) = (Some(Frames::One), Some(Frames::Three));
        let path = |frames: &str, n: u64| format!("{frames}/trainedmodel/{frames}_classifer_iter_{n}.caffemodel");
        let all = [(path("1fm", 10000), one, Some(10000)), (path("3fm", 2000), three, Some(2000))];
        assert_eq!(found(tree.path(), None), all);
        let earlier = [(path("1fm", 2000), one, Some(2000)), (path("3fm", 2000), three, Some(2000))];
        assert_eq!(found(tree.path(), Some(2000)), earlier);
        let error = find(tree.path(), Some(10000)).unwrap_err().to_string();
        assert!(error.contains("no snapshot of iteration 10000; there are 2000"), "{error}");

        for inner in ["1fm", "1fm/trainedmodel"] {
            let snapshots = find(&tree.path().join(inner), None).unwrap();
            assert_eq!(snapshots.len(), 1);
            assert_eq!((snapshots[0].frames, snapshots[0].iteration), (one, Some(10000)), "{inner}");
        }
        let error = find(&tree.path().join("5fm"), None).unwrap_err().to_string();
        assert!(error.contains("no snapshot found") && error.contains("*.caffemodel"), "{error}");
    }

    #[test]
    fn a_folder_of_several_networks_and_files_without_a_number() {
        let several = tree(&["1fm_classifer_iter_9.caffemodel", "3fm_classifer_iter_8.caffemodel"]);
        assert_eq!(found(several.path(), None).len(), 2);
        let one = tree(&["final.caffemodel", "net_iter_7.caffemodel"]);
        assert_eq!(found(one.path(), None), [("net_iter_7.caffemodel".to_owned(), None, Some(7))]);
        let two = tree(&["a_iter_7.caffemodel", "b_iter_7.caffemodel"]);
        let error = find(two.path(), None).unwrap_err().to_string();
        assert!(error.contains("a_iter_7.caffemodel") && error.contains("b_iter_7.caffemodel"), "{error}");
        let huge = tree(&["a_iter_99999999999999999999999.caffemodel"]);
        assert_eq!(found(huge.path(), None)[0].2, None);
    }

    #[test]
    fn what_is_no_snapshot_is_named() {
        let tree = tree(&["x.caffemodel.h5", "x_iter_3.solverstate", "net.prototxt", "x_iter_3.caffemodel"]);
        for (name, words) in
            [("x.caffemodel.h5", "caffe.TEST"), ("x_iter_3.solverstate", "solver"), ("net.prototxt", "description")]
        {
            let error = find(&tree.path().join(name), None).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(name), "{error}");
        }
        assert!(find(&tree.path().join("absent.caffemodel"), None).unwrap_err().to_string().contains("absent"));
        let error = find(&tree.path().join("x_iter_3.caffemodel"), Some(4)).unwrap_err().to_string();
        assert!(error.contains("iteration 4; there are 3"), "{error}");
        std::fs::remove_file(tree.path().join("x_iter_3.caffemodel")).unwrap();
        let error = find(tree.path(), None).unwrap_err().to_string();
        assert!(error.contains("HDF5") && error.contains("1fm, 3fm, 5fm"), "{error}");
    }
}
