//! The same numbers as the original network in Caffe: forward, in the reduced nets and at width 1.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod common;

use common::{Golden, caffemodel, cpu, difference, fixture, host, input, network, relative};
use deep3m_net::{DeepEm3d, Frames, Inference, Mode, NamedTensor, NetConfig, ParamKind};

const BLOBS: [&str; 4] = ["concat_stem_1", "conv3_sum", "conv4_sum", "conv5_sum"];
const H: usize = 96;
const W: usize = 128;

#[test]
fn reduced_nets_agree_blob_by_blob() {
    for frames in Frames::ALL {
        let Some(mut golden) = Golden::open(&format!("tiny_{frames}_golden.npz")) else { return };
        let net = network(&format!("tiny_{frames}.caffemodel"), &cpu()).unwrap();
        let grey = golden.frames("input_u8");
        let x = input(&grey, 1, frames.count(), H, W, &cpu());
        let (logits, blobs) = net.forward_blobs(x, Mode::Predict, &BLOBS);
        for name in BLOBS {
            let off = relative(&host(&blobs[name]), &golden.floats(name));
            assert!(off < 1e-4, "{frames} {name}: {off}");
        }
        let off = relative(&host(&logits), &golden.floats("deconv_all_sum"));
        assert!(off < 1e-4, "{frames} logits: {off}");
        let probability = Inference::new(&net, &cpu()).unwrap().foreground(&grey, 1, H, W).unwrap();
        let off = difference(&probability, &golden.floats("prob")[H * W..]);
        eprintln!("{frames}: probability off by {off:.1e}");
        assert!(off < 5e-5, "{frames} probability: {off}");
    }
}

#[test]
fn the_trained_net_agrees() {
    let Some(mut golden) = Golden::open("tiny_1fm_trained_golden.npz") else { return };
    let net = network("tiny_1fm_trained.caffemodel", &cpu()).unwrap();
    let grey = golden.frames("input_u8");
    let logits = host(&net.forward(input(&grey, 1, 1, H, W, &cpu()), Mode::Predict));
    assert!(relative(&logits, &golden.floats("deconv_all_sum")) < 1e-4);
    let probability = Inference::new(&net, &cpu()).unwrap().foreground(&grey, 1, H, W).unwrap();
    let off = difference(&probability, &golden.floats("prob_fg"));
    assert!(off < 5e-5, "{off}");
}

#[test]
fn the_prediction_tool_agrees_slice_by_slice() {
    let Some(mut golden) = Golden::open("predict_tool_golden.npz") else { return };
    let stack = golden.frames("stack_u8");
    for frames in [Frames::Three, Frames::Five] {
        let (config, tensors) = caffemodel(&format!("tiny_{frames}.caffemodel")).unwrap();
        let inference = Inference::from_tensors(config, &tensors, &cpu()).unwrap();
        // Slices 0, 1, 3, 4 in one batch; frames beyond the ends are zero.
        let mut batch = Vec::new();
        for slice in [0_isize, 1, 3, 4] {
            for z in slice - frames.margin() as isize..=slice + frames.margin() as isize {
                match usize::try_from(z).ok().filter(|&z| z < 5) {
                    Some(z) => batch.extend(&stack[z * H * W..][..H * W]),
                    None => batch.extend(std::iter::repeat_n(0.0, H * W)),
                }
            }
        }
        let probability = inference.foreground(&batch, 4, H, W).unwrap();
        let off = difference(&probability, &golden.floats(&format!("fg_{frames}")));
        assert!(off < 5e-5, "{frames}: {off}");
    }
}

/// The seeded weights of the fixtures' README: splitmix64 from FNV-1a of "<layer>:<blob>".
fn seeded(config: &NetConfig, golden: &mut Golden) -> Vec<NamedTensor> {
    let fnv =
        |text: &str| text.bytes().fold(1469598103934665603_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(1099511628211));
    let mut tensors = Vec::new();
    for spec in config.parameters() {
        let (layer, blob) = (&spec.name.layer, spec.name.kind.caffe_blob());
        let values = if spec.name.kind.is_trained() {
            let seed = fnv(&format!("{layer}:{blob}"));
            let fan = match spec.name.kind {
                ParamKind::DeconvWeight => spec.shape[0] * 4,
                _ => spec.shape[1..].iter().product(),
            };
            let a = (6.0 / fan as f64).sqrt();
            let value = |i: u64| {
                let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let u = ((z ^ (z >> 31)) >> 40) as f64 / (1_u64 << 24) as f64;
                (match spec.name.kind {
                    ParamKind::ConvWeight | ParamKind::DeconvWeight => a * (2.0 * u - 1.0),
                    ParamKind::Gamma => 0.7 + 0.6 * u,
                    ParamKind::Beta => 0.6 * u - 0.3,
                    _ => 0.2 * u - 0.1,
                }) as f32
            };
            (0..spec.len() as u64).map(value).collect()
        } else {
            golden.floats(&format!("bn:{}.{blob}", layer.replace('/', "|")))
        };
        tensors.push(NamedTensor { name: spec.name, shape: spec.shape, values });
    }
    tensors
}

fn full_width_agrees(frames: Frames) {
    let Some(mut golden) = Golden::open(&format!("full_{frames}_golden.npz")) else { return };
    let config = NetConfig::original(frames);
    let tensors = seeded(&config, &mut golden);
    let grey = golden.frames("input_u8");
    let logits = golden.floats("deconv_all_sum");
    let net = DeepEm3d::from_tensors(config, &tensors, &cpu()).unwrap();
    let (ours, blobs) = net.forward_blobs(input(&grey, 1, frames.count(), H, W, &cpu()), Mode::Predict, &BLOBS);
    assert!(relative(&host(&ours), &logits) < 1e-4, "{frames} logits: {}", relative(&host(&ours), &logits));
    for name in BLOBS {
        let [_, channels, h, w] = blobs[name].dims();
        let values = host(&blobs[name]);
        let mut sub = Vec::new();
        for c in (0..channels).step_by(8) {
            for y in (0..h).step_by(2) {
                sub.extend((0..w).step_by(2).map(|x| values[(c * h + y) * w + x]));
            }
        }
        let off = relative(&sub, &golden.floats(&format!("{name}_sub")));
        assert!(off < 1e-4, "{frames} {name}: {off}");
    }
    let probability = Inference::new(&net, &cpu()).unwrap().foreground(&grey, 1, H, W).unwrap();
    let expected: Vec<f32> =
        (0..H * W).map(|i| 1.0 / (1.0 + (f64::from(logits[i]) - f64::from(logits[H * W + i])).exp()) as f32).collect();
    let off = difference(&probability, &expected);
    eprintln!("{frames}, width 1: probability off by {off:.1e}");
    assert!(off < 5e-5, "{frames} probability: {off}");
}

#[test]
fn width_1_agrees_1fm() {
    full_width_agrees(Frames::One);
}

#[test]
fn width_1_agrees_3fm() {
    full_width_agrees(Frames::Three);
}

#[test]
fn width_1_agrees_5fm() {
    full_width_agrees(Frames::Five);
}

#[test]
fn a_cut_caffemodel_is_refused_with_its_place() {
    let Some(path) = fixture("tiny_3fm.caffemodel") else { return };
    let bytes = std::fs::read(path).unwrap();
    for len in [1, 1000, bytes.len() / 2, bytes.len() - 1] {
        let text = deep3m_net::weights::caffe::read_caffemodel(&bytes[..len]).unwrap_err().to_string();
        assert!(text.contains("at byte"), "{len}: {text}");
    }
    let net = deep3m_net::weights::caffe::read_caffemodel(&bytes).unwrap();
    let text = net.to_network(Frames::Five).unwrap_err().to_string();
    assert!(text.contains("layer conv1_2, blob 0 (weight), at byte"), "{text}");
    assert!(text.contains("found shape [4, 2, 3, 3, 2], expected [4, 2, 3, 3, 3]"), "{text}");
}
