//! Conversions as people run them: killed at any moment, in little memory, with what they print.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open};

const EXTENT: Extent = Extent::new(40, 300, 260);

fn deep3m() -> Command {
    Command::new(env!("CARGO_BIN_EXE_deep3m"))
}

/// A stack of noise, which takes long to compress.
fn stack(folder: &Path, extent: Extent) -> PathBuf {
    let path = folder.join("in.tif");
    let voxel_size = VoxelSize::new(40.0, 10.0, 10.0);
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size, chunk: None, provenance: None };
    let writer = create(&path, &spec, false).unwrap();
    for z in 0..extent.z {
        let section = Extent { z: 1, ..extent };
        let value = |i: usize| ((i as u64 + z * 99_991).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
        let voxels = Voxels::U8((0..section.len()).map(value).collect());
        writer.write(Index::new(z, 0, 0), &Block::new(section, voxels)).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Every file below a folder (or the file) with its bytes, without the notes of a conversion.
fn bytes(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn collect(at: &Path, root: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
        if at.is_file() {
            into.insert(at.strip_prefix(root).unwrap().to_owned(), std::fs::read(at).unwrap());
            return;
        }
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap().path();
            if !entry.file_name().unwrap().to_string_lossy().starts_with(".deep3m-convert.") {
                collect(&entry, root, into);
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(path, path, &mut files);
    files
}

/// `DEEP3M_KILLS` says how many kills in all; without it there are a few.
#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let input = stack(folder.path(), EXTENT);
    let kills =
        std::env::var("DEEP3M_KILLS").ok().and_then(|text| text.parse().ok()).map_or(4, |all: u64| all.div_ceil(10));
    let mut random = 42_u64;
    for name in ["v.zarr", "v.precomputed", "v", "v.tif", "v.h5"] {
        let run = |out: &Path| {
            let mut command = deep3m();
            command.arg("convert").arg(&input).arg("-o").arg(out).args(["--chunk", "8,64,64", "--memory", "40MB"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let whole = folder.path().join("whole").join(name);
        std::fs::create_dir_all(whole.parent().unwrap()).unwrap();
        let begun = std::time::Instant::now();
        assert!(run(&whole).wait().unwrap().success());
        let took = begun.elapsed();
        let truth = bytes(&whole);
        let (mut done, mut turn) = (0, 0);
        while done < kills {
            turn += 1;
            let out = folder.path().join(format!("turn-{turn}")).join(name);
            std::fs::create_dir_all(out.parent().unwrap()).unwrap();
            loop {
                let mut child = run(&out);
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                std::thread::sleep(took.mul_f64((random >> 40) as f64 / f64::from(1 << 24)));
                let over = child.try_wait().unwrap().is_some();
                if !over {
                    child.kill().unwrap();
                    done += 1;
                }
                let ended = child.wait_with_output().unwrap();
                if over || done >= kills {
                    assert!(!over || ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
                    break;
                }
            }
            let last = run(&out).wait_with_output().unwrap();
            assert!(last.status.success(), "{name}: {}", String::from_utf8_lossy(&last.stderr));
            assert!(bytes(&out) == truth, "{name}: other bytes after kills");
        }
    }
}

/// A limit that is a fraction of the volume is kept.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_below_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let input = stack(folder.path(), Extent::new(64, 1100, 1200));
    let out = folder.path().join("v.zarr");
    let mut command = deep3m();
    command.arg("convert").arg(&input).arg("-o").arg(&out).args(["--memory", "60MB"]).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = 0_u64;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let bytes =
            line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).map_or(0, |kb: u64| kb * 1024);
        most = most.max(bytes);
        std::thread::sleep(Duration::from_millis(3));
    }
    println!("{:.1} MB for a volume of 84 MB", most as f64 / 1e6);
    assert!(most < 60_000_000, "{most} bytes");
    let (a, b) = (open(&input).unwrap(), open(&out).unwrap());
    let corner = Region::new(Index::new(50, 1000, 1100), Extent::new(14, 100, 100));
    assert_eq!(a.read(corner).unwrap(), b.read(corner).unwrap());
    // Less than the least is refused with what would do, and that does.
    let refused = deep3m().arg("convert").arg(&input).args(["-o", "x.zarr", "--memory", "20MB"]).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(words.contains("Give --memory "), "{words}");
}

#[test]
fn it_says_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let input = stack(folder.path(), Extent::new(4, 200, 200));
    let out = folder.path().join("v.zarr");
    let run = |more: &[&str]| deep3m().arg("convert").arg(&input).arg("-o").arg(&out).args(more).output().unwrap();
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let made = text(&run(&[]));
    assert!(made.contains("level 0: 4 × 200 × 200 (z × y × x) voxels, 40 × 10 × 10 nm"), "{made}");
    assert!(made.contains("level 1: 4 × 100 × 100 (z × y × x) voxels, 40 × 20 × 20 nm"), "{made}");
    assert!(text(&run(&[])).contains("is complete already"));
    let other = run(&["--labels"]);
    let words = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        !other.status.success() && words.contains("holds another conversion") && words.contains("--overwrite"),
        "{words}"
    );
    let json: serde_json::Value = serde_json::from_str(&text(&run(&["--labels", "--overwrite", "--json"]))).unwrap();
    assert_eq!(json["levels"][1]["extent"]["y"], 100);
}
