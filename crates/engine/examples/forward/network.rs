//! DeepEM3D's layers with random weights, as the engine takes them.

use std::collections::HashMap;

use deep3m_engine::{Conv, Head, Layer, Op, Tap};

/// Collects layers, and finds their inputs by name.
pub(crate) struct Network {
    width: f64,
    random: u64,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Their names.
    pub names: Vec<&'static str>,
    blobs: HashMap<&'static str, usize>,
    /// The channels of every blob.
    channels: Vec<usize>,
    /// Multiplications with addition per pixel of the input.
    pub macs: Vec<f64>,
    /// Rows and columns of each blob, as a share of the input's.
    shares: Vec<f64>,
}

impl Network {
    /// The layers without their weights.
    pub(crate) fn sketch(&self) -> Vec<Layer> {
        let mut layers = self.layers.clone();
        for layer in &mut layers {
            match &mut layer.op {
                Op::Conv(conv) => conv.weights.clear(),
                Op::Head(head) => head.taps.iter_mut().for_each(|tap| tap.weights.clear()),
                _ => {}
            }
        }
        layers
    }

    fn random(&mut self, count: usize, inputs: usize) -> Vec<f32> {
        let bound = (6.0 / inputs as f64).sqrt();
        let mut next = || {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            (self.random >> 40) as f64 / f64::from(1 << 24)
        };
        (0..count).map(|_| (bound * (2.0 * next() - 1.0)) as f32).collect()
    }

    fn push(&mut self, name: &'static str, op: Op, inputs: &[&str], channels: usize, share: f64, macs: f64) {
        let inputs = inputs.iter().map(|input| self.blobs[input]).collect();
        self.layers.push(Layer { op, inputs });
        self.names.push(name);
        self.blobs.insert(name, self.layers.len());
        self.channels.push(channels);
        self.shares.push(share);
        self.macs.push(macs);
    }

    fn of(&self, input: &str) -> (usize, f64) {
        let blob = self.blobs[input];
        (self.channels[blob], self.shares[blob])
    }

    fn sized(&self, channels: usize) -> usize {
        if channels == 2 { 2 } else { ((channels as f64 * self.width / 4.0).round() as usize * 4).max(4) }
    }

    fn layer(
        &mut self,
        name: &'static str,
        input: &str,
        channels: usize,
        kernel: [usize; 2],
        stride: usize,
        relu: bool,
    ) {
        let (from, share) = self.of(input);
        let inputs = from * kernel[0] * kernel[1];
        let weights = self.random(channels * inputs, inputs);
        let bias = self.random(channels, 600);
        let share = share / stride as f64;
        let padding = kernel.map(|k| (k - 1) / 2);
        let macs = share * share * (channels * inputs) as f64;
        let op = Op::Conv(Conv { kernel, stride, padding, relu, weights, bias });
        self.push(name, op, &[input], channels, share, macs);
    }

    fn conv(&mut self, name: &'static str, input: &str, channels: usize, kernel: [usize; 2], stride: usize) {
        let channels = self.sized(channels);
        self.layer(name, input, channels, kernel, stride, true);
    }

    fn linear(&mut self, name: &'static str, input: &str, channels: usize, kernel: [usize; 2]) {
        let channels = self.sized(channels);
        self.layer(name, input, channels, kernel, 1, false);
    }

    fn pool(&mut self, name: &'static str, input: &str) {
        let (channels, share) = self.of(input);
        self.push(name, Op::Pool, &[input], channels, share / 2.0, 0.0);
    }

    fn concat(&mut self, name: &'static str, inputs: &[&str]) {
        let channels = inputs.iter().map(|input| self.of(input).0).sum();
        let share = self.of(inputs[0]).1;
        self.push(name, Op::Concat, inputs, channels, share, 0.0);
    }

    fn residual(&mut self, name: &'static str, a: &str, b: &str) {
        let (channels, share) = self.of(a);
        self.push(name, Op::Residual { share: 0.1 }, &[a, b], channels, share, 0.0);
    }

    fn head(&mut self, name: &'static str, input: &str, stride: usize, dilations: &[usize], conv: &'static str) {
        let (from, share) = self.of(input);
        let kernel = 2 * stride;
        let taps = dilations.iter().map(|&dilation| {
            let padding = (dilation * (kernel - 1) + 1 - stride) / 2;
            Tap { dilation, padding, weights: self.random(from * 2 * kernel * kernel, from * 4) }
        });
        let taps: Vec<Tap> = taps.collect();
        let bias = self.random(2, 600);
        let macs = share * share * (from * 2 * kernel * kernel * taps.len()) as f64;
        let op = Op::Head(Head { kernel, stride, taps, bias });
        self.push(name, op, &[input], 2, share * stride as f64, macs);
        self.layer(conv, name, 2, [3, 3], 1, true);
    }
}

/// DeepEM3D for `frames` sections (their windows unrolled into the first convolution's channels), with every layer's
/// channels times `width`.
#[rustfmt::skip]
pub(crate) fn deepem3d(frames: usize, width: f64) -> Network {
    let mut g = Network {
        width, random: 0x9E37_79B9_7F4A_7C15, layers: Vec::new(), names: Vec::new(),
        blobs: HashMap::from([("data", 0)]), channels: vec![frames], macs: Vec::new(), shares: vec![1.0],
    };
    let planes = frames.div_ceil(2);
    let first = g.sized(32) * planes;
    g.layer("conv1_1", "data", first, [3, 3], 2, true);
    g.conv("conv1_2", "conv1_1", 64, [3, 3], 1);
    g.conv("conv2_1b", "conv1_2", 64, [1, 1], 1);
    g.linear("conv2_1b_3x3", "conv2_1b", 96, [3, 3]);
    g.conv("conv2_1x1", "conv1_2", 64, [1, 1], 1);
    g.conv("conv2_1x7", "conv2_1x1", 64, [7, 1], 1);
    g.conv("conv2_7x1", "conv2_1x7", 64, [1, 7], 1);
    g.conv("conv2_3x3", "conv2_7x1", 96, [3, 3], 1);
    g.concat("stem_1", &["conv2_1b_3x3", "conv2_3x3"]);
    g.head("deconv2", "stem_1", 2, &[1, 5, 11, 17, 23], "conv_deconv2");
    g.conv("stem_conv", "stem_1", 192, [3, 3], 2);
    g.pool("stem_pool", "stem_1");
    g.concat("stem_2", &["stem_pool", "stem_conv"]);
    g.conv("conv3_1b", "stem_2", 384, [1, 1], 1);
    g.conv("A_1", "conv3_1b", 32, [1, 1], 1);
    g.conv("A_2_1x1", "conv3_1b", 32, [1, 1], 1);
    g.conv("A_2_3x3", "A_2_1x1", 32, [3, 3], 1);
    g.conv("A_3_1x1", "conv3_1b", 32, [1, 1], 1);
    g.conv("A_3_3x3_1", "A_3_1x1", 48, [3, 3], 1);
    g.conv("A_3_3x3_2", "A_3_3x3_1", 64, [3, 3], 1);
    g.concat("A_concat", &["A_1", "A_2_3x3", "A_3_3x3_2"]);
    g.linear("A_top", "A_concat", 384, [1, 1]);
    g.residual("conv3_sum", "conv3_1b", "A_top");
    g.head("deconv3", "conv3_sum", 4, &[1, 5, 11, 17, 23], "conv_deconv3");
    g.pool("rA_pool", "conv3_sum");
    g.conv("rA_b", "conv3_sum", 384, [3, 3], 2);
    g.conv("rA_c_1x1", "conv3_sum", 256, [1, 1], 1);
    g.conv("rA_c_3x3", "rA_c_1x1", 256, [3, 3], 1);
    g.conv("rA_c", "rA_c_3x3", 384, [3, 3], 2);
    g.concat("rA_concat", &["rA_pool", "rA_b", "rA_c"]);
    g.conv("conv4_1b", "rA_concat", 1154, [1, 1], 1);
    g.conv("B_a", "conv4_1b", 192, [1, 1], 1);
    g.conv("B_b_1x1", "conv4_1b", 128, [1, 1], 1);
    g.conv("B_b_1x7", "B_b_1x1", 160, [1, 7], 1);
    g.conv("B_b_7x1", "B_b_1x7", 192, [7, 1], 1);
    g.concat("B_concat", &["B_a", "B_b_7x1"]);
    g.linear("B_top", "B_concat", 1154, [1, 1]);
    g.residual("conv4_sum", "conv4_1b", "B_top");
    g.head("deconv4", "conv4_sum", 8, &[1, 5, 11, 17, 23], "conv_deconv4");
    g.pool("rB_pool", "conv4_sum");
    g.conv("rB_b_1x1", "conv4_sum", 256, [1, 1], 1);
    g.conv("rB_b_3x3", "rB_b_1x1", 384, [3, 3], 2);
    g.conv("rB_c_1x1", "conv4_sum", 256, [1, 1], 1);
    g.conv("rB_c_3x3", "rB_c_1x1", 288, [3, 3], 2);
    g.conv("rB_d_1x1", "conv4_sum", 256, [1, 1], 1);
    g.conv("rB_d_3x3_1", "rB_d_1x1", 288, [3, 3], 1);
    g.conv("rB_d_3x3_2", "rB_d_3x3_1", 320, [3, 3], 2);
    g.concat("rB_concat", &["rB_pool", "rB_b_3x3", "rB_c_3x3", "rB_d_3x3_2"]);
    g.conv("conv5_1b", "rB_concat", 2048, [1, 1], 1);
    g.conv("C_a", "conv5_1b", 192, [1, 1], 1);
    g.conv("C_b_1x1", "conv5_1b", 192, [1, 1], 1);
    g.conv("C_b_1x3", "C_b_1x1", 224, [1, 3], 1);
    g.conv("C_b_3x1", "C_b_1x3", 256, [3, 1], 1);
    g.concat("C_concat", &["C_a", "C_b_3x1"]);
    g.linear("C_top", "C_concat", 2048, [1, 1]);
    g.residual("conv5_sum", "conv5_1b", "C_top");
    g.head("deconv5", "conv5_sum", 16, &[1], "conv_deconv5");
    let inputs = ["conv_deconv2", "conv_deconv3", "conv_deconv4", "conv_deconv5"];
    g.push("sum", Op::Sum, &inputs, 2, 1.0, 0.0);
    g
}
