//! A prediction that is killed (SIGKILL, no chance to tidy up) again and again ends with the bytes of one that was not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use deep3m_net::{Frames, NetError, Normalisation};
use deep3m_predict::{
    Ensemble, ForegroundModel, ModelIdentity, NullModel, PredictConfig, PredictSummary, VariationCount, predict,
};
use deep3m_volume::{Binning, Block, Extent, Index, Region, VolumeSpec, VoxelType, Voxels, create, fs, open};

const FOLDER: &str = "DEEP3M_TEST_FOLDER";
const NAME: &str = "DEEP3M_TEST_OUTPUT";
const EXTENT: Extent = Extent::new(8, 40, 48);

/// A null model that takes its time, so that a kill falls anywhere.
struct Slow;

impl ForegroundModel for Slow {
    fn frames(&self) -> Frames {
        Frames::Three
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        std::thread::sleep(Duration::from_millis(1));
        NullModel { frames: Frames::Three }.foreground(input, n, height, width)
    }
}

fn run(folder: &Path, name: &str) -> PredictSummary {
    let volume = open(&folder.join("images.zarr")).unwrap();
    let identity = ModelIdentity { path: "slow".into(), weights: BTreeMap::new() };
    let normalisation = Normalisation::range(0.0, 255.0).unwrap();
    let ensemble = Ensemble::new(vec![Box::new(Slow)], Binning::NONE, normalisation, VoxelType::U8, identity).unwrap();
    let config = PredictConfig {
        variations: VariationCount::Two,
        tile: Some(16),
        halo: Some(4),
        slab: Some(2),
        ..PredictConfig::default()
    };
    predict(&ensemble, volume.as_ref(), &folder.join(name), &config, &AtomicBool::new(false), &mut |_| {}).unwrap()
}

fn values(path: &Path) -> Vec<u32> {
    let volume = open(path).unwrap();
    volume.read(Region::whole(volume.info().extent)).unwrap().voxels().iter().collect()
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_bytes() {
    if let (Some(folder), Some(name)) = (std::env::var_os(FOLDER), std::env::var_os(NAME)) {
        // This is the process to kill.
        run(Path::new(&folder), &name.to_string_lossy());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let grey = (0..EXTENT.len() as u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let spec =
        VolumeSpec { extent: EXTENT, voxel_type: VoxelType::U8, voxel_size: None, chunk: None, provenance: None };
    let writer = create(&folder.path().join("images.zarr"), &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U8(grey))).unwrap();
    writer.finish().unwrap();
    let mut random = 1_u64;
    for name in ["p.zarr", "p.tif"] {
        run(folder.path(), &format!("whole-{name}"));
        let mut kills = 0;
        for _ in 0..8 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "killed_at_any_moment_it_goes_on_to_the_same_bytes"])
                .env(FOLDER, folder.path())
                .env(NAME, name)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            std::thread::sleep(Duration::from_millis(10 + (random >> 57)));
            child.kill().unwrap();
            kills += u32::from(!child.wait().unwrap().success());
        }
        assert!(kills > 0, "every run ended before it was killed");
        run(folder.path(), name);
        assert_eq!(values(&folder.path().join(name)), values(&folder.path().join(format!("whole-{name}"))), "{name}");
        assert!(!folder.path().join("p.tif.partial").exists());
    }
    let whole = fs::read(&folder.path().join("whole-p.tif")).unwrap();
    assert!(fs::read(&folder.path().join("p.tif")).unwrap() == whole);
}
