//! Every kind of damage is found where it is, and nothing else; what is sound is silent.

use deep3m_volume::{Extent, InMemory, VoxelSize, Voxels};
use proptest::prelude::*;

use super::*;
use crate::smooth::Gaussian;

const EXTENT: Extent = Extent { z: 24, y: 140, x: 150 };
const SECTION: usize = 140 * 150;

/// The structure of some tissue: smooth, from about −3 to 3, positive inside of cells.
fn structure(z: f64, y: f64, x: f64) -> f64 {
    let wave = |k: f64| {
        let part = |f: f64| ((k * f).sin() * 43758.5453).fract();
        (0.35 * part(12.9898) * z + 0.25 * part(78.233) * y + 0.25 * part(37.719) * x + 9.0 * k).sin()
    };
    (1..16).map(|k| wave(f64::from(k))).sum::<f64>() / 2.0
}

fn noise(i: usize) -> f64 {
    let bits = (i as u64 + 77).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((bits ^ (bits >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / f64::from(1 << 24) - 0.5
}

/// Grey values of tissue whose section z is that at `depth(z)`.
fn tissue(depth: impl Fn(usize) -> f64) -> Vec<f32> {
    let value = |i: usize| {
        let (z, y, x) = (i / SECTION, i / 150 % 140, i % 150);
        let inside = (4.0 * structure(depth(z), y as f64, x as f64)).tanh();
        (120.0 + 55.0 * inside + 20.0 * noise(i)) as f32
    };
    (0..EXTENT.len()).map(value).collect()
}

fn sound() -> Vec<f32> {
    tissue(|z| z as f64)
}

fn labels() -> Vec<u8> {
    let inside = |i: usize| structure((i / SECTION) as f64, (i / 150 % 140) as f64, (i % 150) as f64) > 0.0;
    (0..EXTENT.len()).map(|i| u8::from(inside(i))).collect()
}

fn section(volume: &mut [f32], z: usize) -> &mut [f32] {
    &mut volume[z * SECTION..(z + 1) * SECTION]
}

fn in_memory(voxels: Voxels) -> InMemory {
    InMemory::new("v", EXTENT, voxels).sized(VoxelSize::new(30.0, 8.0, 8.0).unwrap())
}

fn bytes(volume: &[f32]) -> InMemory {
    in_memory(Voxels::U8(volume.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect()))
}

fn look(images: &InMemory, labels: Option<&InMemory>, config: CheckConfig) -> Checkup {
    let labels = labels.map(|l| l as &dyn Volume);
    check(images, labels, &config, u64::MAX, &mut |_| true).unwrap()
}

/// What is found: kind and sections.
fn found(volume: &[f32]) -> Vec<(Code, Option<(u64, u64)>)> {
    look(&bytes(volume), None, CheckConfig::default()).findings.into_iter().map(|f| (f.code, f.sections)).collect()
}

fn found_in_labels(labels: Vec<u8>) -> Vec<Finding> {
    look(&bytes(&sound()), Some(&in_memory(Voxels::U8(labels))), CheckConfig::default()).findings
}

#[test]
fn sound_data_are_silent() {
    assert_eq!(found(&sound()), []);
    let whole = look(&bytes(&sound()), Some(&in_memory(Voxels::U8(labels()))), CheckConfig::default());
    assert_eq!(whole.findings, []);
    assert_eq!((whole.images.sections.len(), whole.labels.unwrap().foreground), (24, Some(1)));
    let fit = whole.fit.unwrap();
    assert!(fit.move_rows.abs() <= 1 && fit.move_columns.abs() <= 1 && fit.gradient > 0.5, "{fit:?}");
    // A slow drift of brightness and place is none.
    let mut drifting = sound();
    for (i, v) in drifting.iter_mut().enumerate() {
        *v += (i / SECTION) as f32;
    }
    assert_eq!(found(&drifting), []);
}

#[test]
fn damaged_sections_are_found_where_they_are() {
    type Spoil = fn(&mut [f32]);
    let damage: [(Code, Spoil); 6] = [
        (Code::Blank, |s| s.fill(0.0)),
        (Code::Dark, |s| s.iter_mut().for_each(|v| *v *= 0.6)),
        (Code::Bright, |s| s.iter_mut().for_each(|v| *v += 50.0)),
        (Code::Faint, |s| s.iter_mut().for_each(|v| *v = 120.0 + 0.3 * (*v - 120.0))),
        (Code::Blurred, |s| Gaussian::new([0.0, 2.0, 2.0]).smooth(s, Extent::new(1, 140, 150))),
        (Code::Shifted, |s| s.rotate_right(150 * 6 + 5)),
    ];
    for (code, spoil) in damage {
        for z in [0, 11, 23] {
            if code == Code::Shifted && z == 0 {
                continue;
            }
            let mut volume = sound();
            spoil(section(&mut volume, z));
            assert_eq!(found(&volume), [(code, Some((z as u64, z as u64)))], "section {z}");
        }
    }
    // Two in a row are one finding.
    let mut volume = sound();
    section(&mut volume, 5).fill(0.0);
    section(&mut volume, 6).fill(0.0);
    assert_eq!(found(&volume), [(Code::Blank, Some((5, 6)))]);
}

#[test]
fn a_shift_has_its_rows_and_columns() {
    let mut volume = sound();
    for z in 14..24 {
        section(&mut volume, z).rotate_right(150 * 7 + 4);
    }
    let findings = look(&bytes(&volume), None, CheckConfig::default()).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].message.contains("7 rows and 4 columns against the section before"), "{}", findings[0].message);
    assert_eq!(findings[0].sections, Some((14, 14)));
}

#[test]
fn sections_there_twice_or_missing_are_found() {
    let mut volume = sound();
    let copy = section(&mut volume, 9).to_vec();
    section(&mut volume, 10).copy_from_slice(&copy);
    assert_eq!(found(&volume), [(Code::Duplicate, Some((10, 10)))]);
    // Saved once more with a loss, or pasted somewhere else.
    let nearly: Vec<f32> = copy.iter().enumerate().map(|(i, v)| v + (i % 2) as f32).collect();
    section(&mut volume, 10).copy_from_slice(&nearly);
    assert_eq!(found(&volume), [(Code::Duplicate, Some((10, 10)))]);
    let mut volume = sound();
    section(&mut volume, 20).copy_from_slice(&copy);
    assert!(found(&volume).contains(&(Code::Duplicate, Some((20, 20)))));
    let gap = tissue(|z| if z < 12 { z as f64 } else { z as f64 + 9.0 });
    assert_eq!(found(&gap), [(Code::Jump, Some((12, 12)))]);
}

#[test]
fn odd_grey_values_are_found() {
    let two: Vec<f32> = labels().iter().map(|&v| 255.0 * f32::from(v)).collect();
    assert!(found(&two).contains(&(Code::FewGreys, None)));
    assert!(found(&vec![7.0; EXTENT.len()]).contains(&(Code::FewGreys, None)));
    let over: Vec<f32> = sound().iter().map(|v| 3.0 * (v - 60.0)).collect();
    assert!(found(&over).contains(&(Code::Saturated, None)));
    let narrow = in_memory(Voxels::U16(sound().iter().map(|&v| v as u16).collect()));
    let findings = look(&narrow, None, CheckConfig::default()).findings;
    assert_eq!((findings.len(), findings[0].code), (1, Code::NarrowRange));
    let mut broken = sound();
    section(&mut broken, 3)[77] = f32::NAN;
    let findings = look(&in_memory(Voxels::F32(broken)), None, CheckConfig::default()).findings;
    assert_eq!((findings.len(), findings[0].code, findings[0].severity), (1, Code::NotFinite, Severity::Error));
    assert_eq!((findings[0].sections, findings[0].figure), (Some((3, 3)), 1.0));
}

#[test]
fn labels_that_lie_elsewhere_are_found_with_the_move_that_helps() {
    // Labels moved 6 rows down and 4 columns to the right.
    let right = labels();
    let at = |z: usize, y: usize, x: usize| right[(z * 140 + y) * 150 + x];
    let moved = (0..EXTENT.len())
        .map(|i| at(i / SECTION, (i / 150 % 140).saturating_sub(6), (i % 150).saturating_sub(4)))
        .collect();
    let findings = found_in_labels(moved);
    assert_eq!((findings.len(), findings[0].code), (1, Code::LabelsShifted), "{findings:?}");
    assert!(findings[0].message.contains("-6 rows and -4 columns"), "{}", findings[0].message);
    // Labels of the next section.
    let later = (0..EXTENT.len()).map(|i| at((i / SECTION + 2).min(23), i / 150 % 140, i % 150)).collect();
    let findings = found_in_labels(later);
    assert!(findings.iter().any(|f| f.message.contains("of the section behind better")), "{findings:?}");
}

#[test]
fn unclear_labels_are_errors_and_lopsided_ones_warnings() {
    let codes =
        |labels| found_in_labels(labels).into_iter().map(|f| (f.severity, f.code, f.sections)).collect::<Vec<_>>();
    let three: Vec<u8> = labels().iter().enumerate().map(|(i, v)| if i % 150 < 20 { 9 } else { *v }).collect();
    assert_eq!(codes(three.clone())[0], (Severity::Error, Code::LabelValues, None));
    let config = CheckConfig { foreground: Some(1), ignore: Some(9) };
    let clear = look(&bytes(&sound()), Some(&in_memory(Voxels::U8(three))), config);
    assert_eq!(clear.findings, []);
    assert!((clear.labels.unwrap().labelled_share - 130.0 / 150.0).abs() < 1e-9);
    assert_eq!(codes(vec![0; EXTENT.len()]), [(Severity::Error, Code::OneClass, None)]);
    let mut one = vec![0; EXTENT.len()];
    one[5] = 255;
    assert_eq!(codes(one), [(Severity::Warning, Code::Imbalance, None)]);
    let mut skipped = labels();
    skipped[8 * SECTION..10 * SECTION].fill(0);
    assert_eq!(codes(skipped), [(Severity::Warning, Code::Unlabelled, Some((8, 9)))]);
    let mut copied = labels();
    copied.copy_within(8 * SECTION..9 * SECTION, 9 * SECTION);
    assert_eq!(codes(copied), [(Severity::Warning, Code::RepeatedLabels, Some((9, 9)))]);
}

#[test]
fn labels_of_another_size_or_kind_are_errors_not_failures() {
    let images = bytes(&sound());
    let small = InMemory::new("l", Extent::new(24, 140, 149), Voxels::U8(vec![0; 24 * 140 * 149]));
    let findings = look(&images, Some(&small), CheckConfig::default()).findings;
    assert_eq!((findings[0].code, findings[0].severity), (Code::SizesDiffer, Severity::Error));
    let float: std::sync::Arc<dyn Volume> = std::sync::Arc::new(in_memory(Voxels::F32(sound())));
    let labels = deep3m_volume::as_labels(float);
    let found = check(&images, Some(labels.as_ref()), &CheckConfig::default(), u64::MAX, &mut |_| true).unwrap();
    assert_eq!((found.findings[0].code, found.findings[0].severity), (Code::LabelValues, Severity::Error));
    let both = CheckConfig { foreground: Some(1), ignore: Some(1) };
    assert!(check(&images, Some(&small), &both, u64::MAX, &mut |_| true).is_err());
    assert!(matches!(
        check(&images, None, &CheckConfig::default(), u64::MAX, &mut |_| false),
        Err(AnalyzeError::Interrupted)
    ));
    let starved = check(&images, None, &CheckConfig::default(), 1 << 20, &mut |_| true).unwrap_err();
    assert!(starved.to_string().contains("--memory"), "{starved}");
}

proptest! {
    #[test]
    fn any_small_volume_is_judged(
        (z, y, x) in (1_u64..9, 1_u64..40, 1_u64..40),
        kind in 0_usize..4,
        seed in any::<u32>(),
        ignore in prop::option::of(0_u32..3),
    ) {
        let extent = Extent::new(z, y, x);
        let value = |i: usize| (noise(i ^ seed as usize) + 0.5) * 255.0;
        let all = 0..extent.len();
        let voxels = match kind {
            0 => Voxels::U8(all.map(|i| value(i) as u8).collect()),
            1 => Voxels::U16(all.map(|i| value(i) as u16 / 200).collect()),
            2 => Voxels::I16(all.map(|i| value(i) as i16 - 99).collect()),
            _ => Voxels::F32(all.map(|i| if i % 3 == 0 { f32::NAN } else { value(i) as f32 }).collect()),
        };
        let images = InMemory::new("i", extent, voxels);
        let labels = Voxels::U32((0..extent.len()).map(|i| seed >> (20 + i % 12) & 1).collect());
        let labels = InMemory::new("l", extent, labels);
        let config = CheckConfig { foreground: None, ignore };
        let found = check(&images, Some(&labels), &config, u64::MAX, &mut |_| true).unwrap();
        prop_assert_eq!(found.images.sections.len() as u64, z);
        prop_assert!(found.findings.iter().all(|f| f.figure.is_finite() && !f.fix.is_empty()));
    }
}
