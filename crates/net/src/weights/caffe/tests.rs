use super::*;
use proptest::prelude::*;

fn field(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = varint(number << 3 | 2);
    bytes.extend(varint(payload.len() as u64));
    bytes.extend(payload);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const VALUES: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

/// A file of one layer with a blob of shape [2, 3].
fn file_of(name: &str) -> Vec<u8> {
    let blob = [field(7, &field(1, &[2, 3])), field(5, &floats(&VALUES))].concat();
    field(100, &[field(1, name.as_bytes()), field(2, b"Convolution"), field(7, &blob)].concat())
}

fn file() -> Vec<u8> {
    file_of("conv1_1")
}

fn error(bytes: &[u8]) -> String {
    read_caffemodel(bytes).unwrap_err().to_string()
}

fn only_blob<'a>(net: &CaffeNet<'a>) -> CaffeBlob<'a> {
    let [blob] = &net.layer("conv1_1").unwrap().blobs[..] else { panic!("one blob") };
    blob.clone()
}

#[test]
fn current_and_old_layers_are_read() {
    let bytes = file();
    let blob = only_blob(&read_caffemodel(&bytes).unwrap());
    assert_eq!((blob.shape(), blob.values().unwrap()), (&[2_u32, 3][..], VALUES.to_vec()));
    for (index, value) in VALUES.iter().enumerate() {
        assert_eq!(bytes[blob.offset_of(index)..][..4], value.to_le_bytes());
    }

    // num 1, channels 1, height 2, width 3; values one by one.
    let mut old = vec![0x08, 1, 0x10, 1, 0x18, 2, 0x20, 3];
    for value in VALUES {
        old.push(0x2d);
        old.extend(value.to_le_bytes());
    }
    let old = field(2, &[field(4, b"conv1_1"), vec![0x28, 4], field(6, &old)].concat());
    let blob = only_blob(&read_caffemodel(&old).unwrap());
    assert_eq!((blob.shape(), blob.values().unwrap()), (&[1_u32, 1, 2, 3][..], VALUES.to_vec()));
    for (index, value) in VALUES.iter().enumerate() {
        assert_eq!(old[blob.offset_of(index)..][..4], value.to_le_bytes());
    }

    let doubles: Vec<u8> = VALUES.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    let blob = [field(7, &field(1, &[2, 3])), field(8, &doubles)].concat();
    let bytes = field(100, &[field(1, b"conv1_1"), field(7, &blob)].concat());
    let blob = only_blob(&read_caffemodel(&bytes).unwrap());
    assert_eq!(blob.values().unwrap(), VALUES);
    assert_eq!(bytes[blob.offset_of(5)..][..8], 6.0_f64.to_le_bytes());
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    let mut bytes = vec![0xa2, 0x06];
    bytes.extend(varint(10_000_000_000));
    let text = error(&bytes);
    assert!(text.contains("at byte 7") && text.contains("10000000000"), "{text}");
    let text = error(&[file(), bytes].concat());
    assert!(text.contains("after layer conv1_1"), "{text}");

    let huge = [varint(u64::from(u32::MAX)), varint(u64::from(u32::MAX)), varint(u64::from(u32::MAX))].concat();
    let blob = [field(7, &field(1, &huge)), field(5, &[])].concat();
    let text = error(&field(100, &[field(1, b"conv1_1"), field(7, &blob)].concat()));
    assert!(text.contains("0 values for a blob of shape") && text.contains("in layer conv1_1"), "{text}");
}

#[test]
fn every_cut_of_a_file_is_an_error_with_its_place() {
    let bytes = file();
    for len in 0..bytes.len() {
        let text = error(&bytes[..len]);
        assert!(text.contains("at byte"), "{len} bytes: {text}");
    }
}

#[test]
fn other_files_are_told_what_they_are() {
    assert!(matches!(read_caffemodel(b"\x89HDF\r\n\x1a\nrest"), Err(WeightsError::Hdf5)));
    let text = error(b"name: \"DeepEM3D\"\nlayer {\n  name: \"data\"\n}");
    assert!(text.contains("name: ") && text.contains(".prototxt"), "{text}");
    let text = error(&file_of("fc8"));
    assert!(text.contains("no layer of DeepEM3D (but layer fc8, at byte 0)"), "{text}");
    assert!(error(&[0x08, 0x96, 0x01]).contains("no layer with weights"));
    assert!(error(b"\x89PNG\r\n\x1a\n").contains("at byte"));
    let text = error(&[file(), file()].concat());
    assert!(text.contains("a second layer conv1_1") && text.contains("at byte 0"), "{text}");
}

#[test]
fn another_network_is_listed() {
    let bytes = [file(), file_of("fc8"), file_of(&"x".repeat(1000))].concat();
    let text = read_caffemodel(&bytes).unwrap().to_network(Frames::One).unwrap_err().to_string();
    for words in ["layer bn_conv1_1 is missing", "and 147 more", "layer fc8, at byte", "xxx…"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let all = (0..50).flat_map(|i| file_of(&format!("other{i}"))).collect::<Vec<_>>();
    let text = read_caffemodel(&[file(), all].concat()).unwrap().to_network(Frames::One).unwrap_err().to_string();
    assert!(text.contains("other7") && text.contains("and 42 more"), "{text}");
}

#[test]
fn rows_and_columns_are_exchanged() {
    let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
    // Two kernels of 2 rows × 3 columns × 2 frames.
    let mut shape = vec![2, 1, 2, 3, 2];
    let turned = exchange_rows_and_columns(&values, &mut shape);
    assert_eq!(shape, [2, 1, 3, 2, 2]);
    assert_eq!(turned[..12], [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0]);
    assert_eq!(exchange_rows_and_columns(&turned, &mut shape), values);
}

proptest! {
    #[test]
    fn damaged_files_do_not_panic(at in 0_usize..60, byte: u8, cut in 0_usize..80) {
        let mut bytes = file();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().max(cut) - cut.min(bytes.len()) / 3);
        if let Ok(net) = read_caffemodel(&bytes) {
            let _ = net.to_network(Frames::Three);
        }
    }

    #[test]
    fn noise_does_not_panic(bytes: Vec<u8>) {
        let _ = read_caffemodel(&bytes);
    }
}
