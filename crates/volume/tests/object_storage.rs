//! Volumes and notes in object storage and on web servers, against servers on loopback: s3s over a folder speaks S3, and
//! fails when told to.
//!
//! Settings come from the environment, as a user gives them: each part runs as a program of its own, which these tests
//! start with that environment.

#![cfg(feature = "cloud")]
// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

#[path = "common/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deep3m_volume::conformance::{Candidate, check_format, check_notes};
use deep3m_volume::convert::{Conversion, ConvertError, ConvertEvent, Work, convert};
use deep3m_volume::pyramid::Reduce;
use deep3m_volume::{
    Block, Extent, Format, Index, Notes, OpenOptions, Region, VolumeError, VolumeSpec, VolumeWriter, VoxelSize,
    VoxelType, Voxels, ZarrLayout, create, create_as, open, open_with, reopen,
};
use server::{Fault, Server, files, s3};

const EXTENT: Extent = Extent::new(4, 20, 30);

/// A server with the bucket `em-data`, in a folder of its own.
fn bucket(plan: &[server::Planned]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("em-data")).unwrap();
    let server = s3(folder.path(), plan);
    (folder, server)
}

/// Runs an ignored test of this file as a program that finds the server in its environment.
fn run(part: &str, server: &Server, more: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([part, "--exact", "--ignored", "--nocapture"])
        .env("AWS_ENDPOINT_URL", format!("http://{}", server.address))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "key-of-the-test")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
        .env("DEEP3M_TEST_SERVER", server.address.to_string());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "DEEP3M_RETRY_SECONDS"] {
        command.env_remove(name);
    }
    command.envs(more.iter().copied()).output().unwrap()
}

fn passes(part: &str, server: &Server, more: &[(&str, &str)]) {
    let output = run(part, server, more);
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && words.contains("1 passed"), "{part}: {words}");
}

/// The server that a part was started with; a part that is started by hand has none and does nothing.
fn address() -> Option<String> {
    let address = std::env::var("DEEP3M_TEST_SERVER").ok();
    if address.is_none() {
        println!("skipped: this part of a test is started by another");
    }
    address
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn spec(chunk: Extent) -> VolumeSpec {
    VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U8,
        voxel_size: VoxelSize::new(30.0, 5.0, 5.0),
        chunk: Some(chunk),
        provenance: None,
    }
}

fn truth(seed: usize) -> Block {
    Block::new(EXTENT, Voxels::U8((0..EXTENT.len()).map(|i| ((i * i + seed) % 251) as u8 + 1).collect()))
}

fn write(path: &Path, seed: usize, overwrite: bool) -> Result<(), VolumeError> {
    let writer = create(path, &spec(Extent::new(2, 16, 16)), overwrite)?;
    writer.write(Index::default(), &truth(seed))?;
    writer.finish()
}

fn whole(path: &Path) -> Block {
    open(path).unwrap_or_else(|e| panic!("{e}")).read(Region::whole(EXTENT)).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn formats_of_chunks_hold_in_object_storage() {
    let (_folder, server) = bucket(&[]);
    passes("part_formats", &server, &[]);
    println!("{} requests, {} at once", server.state.requests().0, server.state.most_at_once());
}

#[test]
#[ignore = "started by another test"]
fn part_formats() {
    if address().is_none() {
        return;
    }
    for (format, ending, voxel_type) in
        [(Format::OmeZarr, "zarr", VoxelType::U16), (Format::Precomputed, "precomputed", VoxelType::U32)]
    {
        let create = |path: &Path, spec: &VolumeSpec| -> Result<(PathBuf, Box<dyn VolumeWriter>), VolumeError> {
            let path = path.with_extension(ending);
            let writer = create_as(&path, format, spec, false)?;
            Ok((path, writer))
        };
        let folder = Path::new("s3://em-data/conformance");
        check_format(&Candidate { create: &create, voxel_types: &[voxel_type], folder });
    }
}

#[test]
fn volumes_are_replaced_and_gone_on_with() {
    let (folder, server) = bucket(&[]);
    for name in ["sharded.zarr", "five-axes-blosc.zarr", "version-04.zarr", "plain.zarr"] {
        copy(&fixture(name), &folder.path().join("em-data/fixtures").join(name));
    }
    std::fs::create_dir_all(folder.path().join("em-data/full.zarr")).unwrap();
    std::fs::write(folder.path().join("em-data/full.zarr/thesis.docx"), "years of work").unwrap();
    passes("part_volumes", &server, &[]);
    let left = std::fs::read(folder.path().join("em-data/full.zarr/thesis.docx")).unwrap();
    assert_eq!(left, b"years of work");
}

#[test]
#[ignore = "started by another test"]
fn part_volumes() {
    if address().is_none() {
        return;
    }
    let path = Path::new("s3://em-data/folder/vol.zarr");
    write(path, 1, false).unwrap();
    assert_eq!(open(path).unwrap().info().path, path);
    let error = write(path, 2, false).unwrap_err();
    assert!(matches!(error, VolumeError::Exists { .. }), "{error}");
    assert_eq!(whole(path), truth(1));
    // A neighbour whose name begins alike stays.
    write(Path::new("s3://em-data/folder/vol.zarr2.zarr"), 3, false).unwrap();
    write(path, 2, true).unwrap();
    assert_eq!(whole(path), truth(2));
    assert_eq!(whole(Path::new("s3://em-data/folder/vol.zarr2.zarr")), truth(3));
    // Zeros over what was written: the chunk is gone.
    let first = Region::new(Index::default(), Extent::new(2, 16, 16));
    let writer = reopen(path).unwrap();
    writer.write(first.start, &Block::zeros(first.extent, VoxelType::U8)).unwrap();
    let volume = open(path).unwrap();
    assert_eq!(volume.read(first).unwrap(), Block::zeros(first.extent, VoxelType::U8));
    let last = Region::new(Index::new(2, 16, 16), Extent::new(2, 4, 14));
    assert_eq!(volume.read(last).unwrap(), truth(2).crop(last));
    // What is no volume is never removed, and what cannot be written there says so.
    let error = write(Path::new("s3://em-data/full.zarr"), 1, true).unwrap_err().to_string();
    assert!(error.contains("s3://em-data/full.zarr/thesis.docx"), "{error}");
    for name in ["s3://em-data/stack.tif", "s3://em-data/slices"] {
        let error = write(Path::new(name), 1, false).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains(".zarr"), "{error}");
    }
    // As others write them.
    for name in ["sharded.zarr", "five-axes-blosc.zarr", "version-04.zarr", "plain.zarr"] {
        let local = open(&fixture(name)).unwrap();
        let far =
            open_with(&Path::new("s3://em-data/fixtures").join(name), &OpenOptions::default().cache_bytes(0)).unwrap();
        assert_eq!(far.info().voxel_size, local.info().voxel_size);
        let extent = local.info().extent;
        let part = Region::new(Index::new(1, 3, 7), Extent::new(2, 17, 23));
        for region in [Region::whole(extent), part] {
            assert_eq!(far.read(region).unwrap(), local.read(region).unwrap(), "{name}");
        }
    }
    // A level of an image, by itself.
    assert_eq!(open(Path::new("s3://em-data/fixtures/sharded.zarr/0")).unwrap().info().extent, Extent::new(3, 21, 34));
}

#[test]
fn conversions_end_in_object_storage() {
    let (_folder, server) = bucket(&[]);
    passes("part_conversions", &server, &[]);
}

#[test]
#[ignore = "started by another test"]
fn part_conversions() {
    if address().is_none() {
        return;
    }
    let source = open(&fixture("sharded.zarr")).unwrap();
    let work = Work { bytes: 1, cache_bytes: 0 };
    for (format, out) in
        [(Format::OmeZarr, "s3://em-data/made.zarr"), (Format::Precomputed, "s3://em-data/made.precomputed")]
    {
        let zarr = ZarrLayout::default();
        let conversion =
            Conversion { format, chunk: Some(Extent::new(2, 16, 16)), levels: None, reduce: Reduce::Mean, zarr };
        // Stopped after every box, and gone on with.
        let (mut stops, mut now) = (0, 0);
        let summary = loop {
            let stop = AtomicBool::new(false);
            let mut event = |event: ConvertEvent| {
                if let ConvertEvent::Written { voxels } = event {
                    now += voxels;
                    stop.store(true, Ordering::Relaxed);
                }
            };
            match convert(&source, Path::new(out), &conversion, false, work, &stop, &mut event) {
                Err(ConvertError::Interrupted { .. }) => stops += 1,
                other => break other.unwrap(),
            }
            assert!(stops < 100);
        };
        assert!(stops > 3 && summary.levels.len() > 1, "{stops} stops, {:?}", summary.levels);
        assert_eq!(now, summary.voxels, "no box is written twice");
        let made = open(Path::new(out)).unwrap();
        let all = Region::whole(made.info().extent);
        assert_eq!(made.read(all).unwrap(), source.read(all).unwrap(), "{out}");
        let again = convert(&source, Path::new(out), &conversion, false, work, &AtomicBool::new(false), &mut |_| ());
        assert_eq!(again.unwrap().voxels_now, 0);
    }
}

#[test]
fn refusals_say_what_to_do() {
    let (_folder, server) = bucket(&[]);
    passes("part_refusals", &server, &[]);
    passes("part_wrong_key", &server, &[("AWS_SECRET_ACCESS_KEY", "another")]);
    let nobody = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("DEEP3M_RETRY_SECONDS", "1")];
    passes("part_nobody_answers", &server, &nobody);
    passes("part_wrong_setting", &server, &[("DEEP3M_RETRY_SECONDS", "soon")]);
}

fn error_of(path: &str) -> String {
    match open(Path::new(path)) {
        Ok(volume) => panic!("opened as {:?}", volume.info()),
        Err(error) => error.to_string(),
    }
}

#[test]
#[ignore = "started by another test"]
fn part_refusals() {
    if address().is_none() {
        return;
    }
    let error = error_of("s3://em-data/absent.zarr");
    assert!(error.starts_with("s3://em-data/absent.zarr: ") && error.contains("zarr.json"), "{error}");
    let error = error_of("s3://nowhere/vol.zarr");
    assert!(error.starts_with("s3://nowhere/vol.zarr: ") && error.contains("Check the address"), "{error}");
    let error = write(Path::new("s3://nowhere/vol.zarr"), 1, false).unwrap_err().to_string();
    assert!(error.contains("no such bucket"), "{error}");
    let error = error_of("ftp://em/vol.zarr");
    assert!(error.contains("s3://"), "{error}");
}

#[test]
#[ignore = "started by another test"]
fn part_wrong_key() {
    if address().is_none() {
        return;
    }
    let error = error_of("s3://em-data/vol.zarr");
    assert!(error.contains("403") && error.contains("AWS_SECRET_ACCESS_KEY"), "{error}");
}

#[test]
#[ignore = "started by another test"]
fn part_nobody_answers() {
    if address().is_none() {
        return;
    }
    let started = Instant::now();
    let error = error_of("s3://em-data/vol.zarr");
    assert!(error.contains("no answer") && error.contains("AWS_ENDPOINT_URL"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
#[ignore = "started by another test"]
fn part_wrong_setting() {
    if address().is_none() {
        return;
    }
    let error = error_of("s3://em-data/vol.zarr");
    assert!(error.contains("DEEP3M_RETRY_SECONDS=soon"), "{error}");
}

/// The store is busy, then away, then does what it is asked without an answer, each for seconds.
#[test]
fn lost_networks_are_survived() {
    let seconds = Duration::from_secs;
    let plan = [(60, seconds(3), Fault::Busy), (120, seconds(3), Fault::Lost), (180, seconds(2), Fault::AnswerLost)];
    let (_folder, server) = bucket(&plan);
    passes("part_lost_networks", &server, &[("DEEP3M_RETRY_SECONDS", "60")]);
    let (requests, failed) = server.state.requests();
    println!("{failed} of {requests} requests failed");
    assert!(failed > 10, "{failed} of {requests} requests failed");
}

#[test]
#[ignore = "started by another test"]
fn part_lost_networks() {
    if address().is_none() {
        return;
    }
    let started = Instant::now();
    let path = Path::new("s3://em-data/vol.zarr");
    let notes = Notes::at(Path::new("s3://em-data/notes")).unwrap();
    let chunk = Extent::new(1, 5, 5);
    let writer = create(path, &spec(chunk), false).unwrap();
    for (number, tile) in Region::whole(EXTENT).tiles(chunk).enumerate() {
        let name = format!("tile-{number}");
        // Also where the answer to the first attempt was lost: a lease must not be refused to its owner.
        assert!(notes.create_new(&name, b"mine").unwrap(), "{name}");
        writer.write(tile.start, &truth(5).crop(tile)).unwrap();
        let lease = notes.read(&name).unwrap().unwrap();
        assert!(notes.replace_if(&name, &lease.version, b"done").unwrap(), "{name}");
        assert!(!notes.create_new(&name, b"another's").unwrap(), "{name}");
    }
    writer.finish().unwrap();
    assert_eq!(whole(path), truth(5));
    let done: BTreeSet<Vec<u8>> =
        notes.list("").unwrap().iter().map(|name| notes.read(name).unwrap().unwrap().bytes).collect();
    assert_eq!(done, BTreeSet::from([b"done".to_vec()]));
    assert!(started.elapsed() > Duration::from_secs(7), "all three faults were met");
}

#[test]
fn notes_are_raced_for() {
    let (_folder, server) = bucket(&[]);
    passes("part_races", &server, &[]);
}

#[test]
#[ignore = "started by another test"]
fn part_races() {
    if address().is_none() {
        return;
    }
    check_notes(&Notes::at(Path::new("s3://em-data/run/leases")).unwrap());
}

#[test]
fn web_servers_are_read_from() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a b/vol.zarr"), 7, false).unwrap();
    write(&folder.path().join("a b/vol.precomputed"), 8, false).unwrap();
    copy(&fixture("sharded.zarr"), &folder.path().join("sharded.zarr"));
    passes("part_web", &files(folder.path(), true), &[]);
    passes("part_web_without_ranges", &files(folder.path(), false), &[]);
}

#[test]
#[ignore = "started by another test"]
fn part_web() {
    let Some(address) = address() else { return };
    let at = |name: &str| PathBuf::from(format!("http://{address}/{name}"));
    assert_eq!(whole(&at("a%20b/vol.zarr")), truth(7));
    assert_eq!(whole(&at("a%20b/vol.precomputed")), truth(8));
    let (local, far) = (open(&fixture("sharded.zarr")).unwrap(), open(&at("sharded.zarr")).unwrap());
    let region = Region::whole(local.info().extent);
    assert_eq!(far.read(region).unwrap(), local.read(region).unwrap());
    let error = write(&at("new.zarr"), 1, false).unwrap_err().to_string();
    assert!(error.contains("new.zarr") && error.contains("web"), "{error}");
    let error = reopen(&at("a%20b/vol.zarr")).unwrap().write(Index::default(), &truth(1)).unwrap_err().to_string();
    assert!(error.contains("to read from only"), "{error}");
    assert!(Notes::at(&at("notes")).is_err());
    let error = error_of(at("absent.zarr").to_str().unwrap());
    assert!(error.contains("absent.zarr") && error.contains("Check the address"), "{error}");
}

#[test]
#[ignore = "started by another test"]
fn part_web_without_ranges() {
    let Some(address) = address() else { return };
    let at = |name: &str| PathBuf::from(format!("http://{address}/{name}"));
    assert_eq!(whole(&at("a%20b/vol.zarr")), truth(7));
    let volume = open(&at("sharded.zarr")).unwrap();
    let error = volume.read(Region::whole(volume.info().extent)).unwrap_err().to_string();
    assert!(error.contains("whole files only"), "{error}");
}
