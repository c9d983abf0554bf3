//! Files that an importer must refuse, each with the words of its error.

use deep3m_net::{Frames, NamedTensor, NetConfig, ParamKind};

use super::cpu;
use super::encode::{as_if_trained, blob, caffemodel, field, varint};

/// A narrow network with statistics, in the order of Caffe's blobs.
pub(crate) fn small(frames: Frames) -> Vec<NamedTensor> {
    let mut tensors = NetConfig::with_width(frames, 0.02).unwrap().init(&cpu(), 7).collect();
    as_if_trained(&mut tensors);
    tensors
}

/// A file's name in messages of the tests, its bytes, and words of the error.
type Nasty = (&'static str, Vec<u8>, Vec<&'static str>);

/// Nasty files, each with the words that its error must say.
pub(crate) fn corpus() -> Vec<Nasty> {
    let good = small(Frames::Three);
    [broken_messages(&caffemodel(&good)), other_networks(&good)].concat()
}

/// A layer without a type.
fn layer(name: &str, blobs: &[Vec<u8>]) -> Vec<u8> {
    let blobs: Vec<u8> = blobs.iter().flat_map(|blob| field(7, blob)).collect();
    field(100, &[field(1, name.as_bytes()), blobs].concat())
}

/// What is no message, or no network; `sound` is one.
fn broken_messages(sound: &[u8]) -> Vec<Nasty> {
    let shaped = |axes: &[u64]| {
        let dims: Vec<u8> = axes.iter().flat_map(|&axis| varint(axis)).collect();
        layer("conv1_1", &[[field(7, &field(1, &dims)), field(5, &[0; 4])].concat()])
    };
    let mut ten_gb = vec![0xa2, 0x06];
    ten_gb.extend(varint(10_000_000_000));
    let deep = (0..500).fold(Vec::new(), |inner, _| field(100, &inner));
    vec![
        ("empty", Vec::new(), vec!["at byte 0", "no layer with weights"]),
        ("text", b"this is a text, and no network at all".to_vec(), vec!["text beginning with", "prototxt"]),
        ("cut", sound[..sound.len() - 1].to_vec(), vec!["at byte", "after layer", "that are left"]),
        ("cut in a layer", field(100, &sound[30..90]), vec!["at byte"]),
        ("ten GB", ten_gb.clone(), vec!["at byte 7", "a length of 10000000000 bytes"]),
        ("ten GB at the end", [sound.to_vec(), ten_gb].concat(), vec!["a length of 10000000000 bytes", "after layer"]),
        ("endless number", vec![0xff; 40], vec!["at byte 0", "a number without an end"]),
        ("largest length", [vec![0xa2, 0x06], varint(u64::MAX)].concat(), vec!["18446744073709551615"]),
        ("overflow", shaped(&[1 << 31, 1 << 31, 1 << 31]), vec!["layer conv1_1", "1 values for a blob", "2147483648"]),
        ("axis too large", shaped(&[1 << 40]), vec!["an axis of 1099511627776", "conv1_1"]),
        ("axis of 0", shaped(&[0]), vec!["an axis of 0"]),
        ("axis of -1", shaped(&[u64::MAX]), vec!["an axis of -1"]),
        ("many axes", shaped(&[1; 9]), vec!["more than 8 axes"]),
        ("nested", deep, vec!["at byte 0"]),
        ("torn floats", layer("conv1_1", &[field(5, &[0; 7])]), vec!["7 bytes of data", "whole 32-bit numbers"]),
        ("group", vec![0x0b, 0x0c], vec!["at byte 0", "wire type 3"]),
        ("another protobuf", [vec![0x08, 5], field(3, b"state")].concat(), vec!["no layer with weights"]),
        ("another network", layer("fc8", &[blob(&[1], &[1.0])]), vec!["no layer of DeepEM3D (but layer fc8"]),
        ("name no text", field(100, &field(1, &[0xff, 0xfe])), vec!["bytes that are no text"]),
        ("layer a number", vec![0xa0, 0x06, 1], vec!["a number; expected a layer"]),
        ("HDF5", b"\x89HDF\r\n\x1a\n\0\0\0\0".to_vec(), vec!["HDF5", "convert"]),
    ]
}

/// Sound messages of something else than a trained DeepEM3D; `good` is one.
fn other_networks(good: &[NamedTensor]) -> Vec<Nasty> {
    let sound = caffemodel(good);
    let with = |layer: &str, kind: ParamKind, change: &dyn Fn(&mut NamedTensor)| {
        let mut tensors = good.to_vec();
        change(tensors.iter_mut().find(|t| t.name.layer == layer && t.name.kind == kind).unwrap());
        caffemodel(&tensors)
    };
    let set = |index: usize, value: f32| move |tensor: &mut NamedTensor| tensor.values[index] = value;
    let without = |layer: &str| caffemodel(&good.iter().filter(|t| t.name.layer != layer).cloned().collect::<Vec<_>>());
    vec![
        ("twice", [sound.clone(), layer("conv1_1", &[blob(&[1], &[1.0])])].concat(), vec!["a second layer conv1_1"]),
        (
            "one more",
            [sound.clone(), layer("fc8", &[blob(&[1], &[1.0])])].concat(),
            vec!["layer fc8, at byte", "not part"],
        ),
        ("missing", without("conv4_1b"), vec!["layer conv4_1b is missing"]),
        ("missing norm", without("bn_conv1_2"), vec!["layer bn_conv1_2 is missing"]),
        (
            "shape",
            with("conv2_1b_3x3", ParamKind::ConvBias, &|t| {
                t.values.pop();
                t.shape[0] -= 1;
            }),
            vec!["layer conv2_1b_3x3, blob 1 (bias), at byte", "found shape [3], expected [4]"],
        ),
        (
            "residual",
            with("ira_A_concat_top_conv_1x1", ParamKind::ConvWeight, &|t| {
                let one = t.values.len() / t.shape[0];
                t.values.truncate(t.values.len() - one);
                t.shape[0] -= 1;
            }),
            vec!["ira_A_concat_top_conv_1x1", "channels", "to which it is added"],
        ),
        (
            "no bias",
            caffemodel(
                &good
                    .iter()
                    .filter(|t| t.name.layer != "conv1_2" || t.name.kind != ParamKind::ConvBias)
                    .cloned()
                    .collect::<Vec<_>>(),
            ),
            vec!["layer conv1_2, blob 1 (bias) is missing"],
        ),
        (
            "NaN",
            with("fc1_4x_c2", ParamKind::DeconvWeight, &set(17, f32::NAN)),
            vec!["layer fc1_4x_c2, blob 0 (weight), value 17, at byte", "NaN", "finite"],
        ),
        (
            "infinite",
            with("scale_conv1_2", ParamKind::Beta, &set(1, f32::NEG_INFINITY)),
            vec!["layer scale_conv1_2, blob 1 (beta), value 1", "-inf"],
        ),
        (
            "factor 0",
            with("bn_conv3_1b", ParamKind::Factor, &set(0, 0.0)),
            vec!["layer bn_conv3_1b, blob 2 (factor)", "found 0; expected a number above 0", "seen no batch"],
        ),
        (
            "negative variance",
            with("bn_conv3_1b", ParamKind::VarianceSum, &set(2, -4.0)),
            vec!["layer bn_conv3_1b, blob 1 (variance_sum), value 2", "found -4; expected a variance"],
        ),
        (
            "frames",
            with("conv1_2", ParamKind::ConvWeight, &|t| {
                *t = NamedTensor { shape: vec![4, 4, 3, 3, 4], values: vec![0.5; 4 * 4 * 9 * 4], ..t.clone() };
            }),
            vec!["kernels of conv1_1 and conv1_2", "--frames 1, 3 or 5"],
        ),
    ]
}
