//! Pictures have the colours and sizes that they should.

use deep3m_analyze::{Picture, Sources, Style, palette, read_section};
use deep3m_volume::InMemory as Memory;
use deep3m_volume::{Extent, Region, Voxels};

const EXTENT: Extent = Extent::new(1, 2, 4);

fn volume(voxels: Vec<u8>) -> Memory {
    Memory::new("v", EXTENT, Voxels::U8(voxels))
}

#[test]
fn found_false_and_missed_have_their_colours() {
    let images = volume(vec![100; 8]);
    let prediction = volume(vec![0, 255, 0, 255, 0, 127, 128, 0]);
    let truth = volume(vec![0, 1, 1, 0, 0, 0, 1, 0]);
    let sources = Sources { images: &images, prediction: Some(&prediction), truth: Some(&truth), threshold: 0.5 };
    let view = read_section(&sources, Region::whole(EXTENT), 100).unwrap();
    let picture = view.draw(Style::Agreement);
    let mixed = |c: [u8; 3], raw: f32| c.map(|c| (raw * 100.0 + (1.0 - raw) * f32::from(c)).round() as u8);
    let found = mixed(palette::FOUND, 0.6);
    let (wrong, missed) = (mixed(palette::FALSE, 0.4), mixed(palette::MISSED, 0.4));
    let grey = [100; 3];
    assert_eq!(picture.pixels(), [grey, found, missed, wrong, grey, grey, found, grey]);
    assert!(view.draw(Style::Raw).pixels().iter().all(|&p| p == grey));
    assert_eq!(view.draw(Style::Probability).pixels()[5..7], [[127; 3], [128; 3]]);
    // Objects this small are all rim.
    let outline = view.draw(Style::Truth);
    assert_eq!(outline.pixels().iter().filter(|&&p| p == palette::TRUTH).count(), 3);
}

#[test]
fn a_mask_of_zeros_and_ones_is_a_prediction() {
    let (images, mask) = (volume(vec![100; 8]), volume(vec![0, 1, 0, 1, 0, 0, 1, 0]));
    let sources = Sources { images: &images, prediction: Some(&mask), truth: None, threshold: 0.5 };
    let tint = read_section(&sources, Region::whole(EXTENT), 100).unwrap().draw(Style::Tint);
    assert_eq!(tint.pixels().iter().filter(|&&p| p != [100; 3]).count(), 3);
}

#[test]
fn large_sections_are_shrunk_by_averaging() {
    let images = volume(vec![10, 20, 30, 40, 50, 60, 70, 81]);
    let truth = volume(vec![1, 1, 0, 0, 0, 1, 0, 1]);
    let sources = Sources { images: &images, prediction: None, truth: Some(&truth), threshold: 0.5 };
    let view = read_section(&sources, Region::whole(EXTENT), 2).unwrap();
    assert_eq!((view.width(), view.height()), (2, 1));
    let picture = view.draw(Style::Raw);
    assert_eq!(picture.pixels(), [[35; 3], [55; 3]]);
    // Three of four voxels are foreground, and one of four.
    assert_eq!(view.draw(Style::Truth).pixels(), [palette::TRUTH, [55; 3]]);
}

#[test]
fn sixteen_bits_are_stretched() {
    let images = Memory::new("v", EXTENT, Voxels::U16(vec![1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700]));
    let sources = Sources { images: &images, prediction: None, truth: None, threshold: 0.5 };
    let picture = read_section(&sources, Region::whole(EXTENT), 100).unwrap().draw(Style::Raw);
    assert_eq!((picture.pixels()[0], picture.pixels()[7]), ([0; 3], [255; 3]));
}

#[test]
fn montage_and_png() {
    let red = Picture::filled(3, 2, [255, 0, 0]);
    let sheet = Picture::montage(&[red.clone(), red.clone(), red], 2, 1);
    assert_eq!((sheet.width(), sheet.height()), (7, 5));
    assert_eq!((sheet.pixels()[0], sheet.pixels()[3]), ([255, 0, 0], [255; 3]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    sheet.save(&path).unwrap();
    assert_eq!(&std::fs::read(&path).unwrap()[1..4], b"PNG");
    assert!(Picture::filled(0, 0, [0; 3]).save(&path).is_err());
}

#[test]
fn more_than_a_section_is_refused() {
    let images = Memory::new("v", Extent::new(2, 2, 2), Voxels::U8(vec![0; 8]));
    let sources = Sources { images: &images, prediction: None, truth: None, threshold: 0.5 };
    assert!(read_section(&sources, Region::whole(Extent::new(2, 2, 2)), 100).is_err());
    assert!(read_section(&sources, Region::whole(Extent::new(1, 2, 3)), 100).is_err());
    let other = volume(vec![0; 8]);
    let sources = Sources { truth: Some(&other), ..sources };
    let error = read_section(&sources, Region::whole(Extent::new(1, 2, 2)), 100).unwrap_err().to_string();
    assert!(error.contains("2 × 2 × 2") && error.contains("1 × 2 × 4"), "{error}");
}
