//! The messages of ONNX, as far as a network needs them. Field numbers: `onnx/onnx.proto`, IR version 8.

use super::wire::Message;

/// `TensorProto.DataType`.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// `AttributeProto.AttributeType`.
const ATTRIBUTE_INT: i64 = 2;
const ATTRIBUTE_STRING: i64 = 3;
const ATTRIBUTE_INTS: i64 = 7;

/// An operation being described.
pub(super) struct Node(Message);

impl Node {
    /// Operation `kind` called `name`, from the named values `inputs` to the named value `output`. An input of no name
    /// is left out.
    pub(super) fn new(kind: &str, name: &str, inputs: &[&str], output: &str) -> Self {
        let mut message = Message::default();
        for input in inputs {
            message.text(1, input);
        }
        message.text(2, output);
        message.text(3, name);
        message.text(4, kind);
        Self(message)
    }

    /// With a whole number as a setting.
    pub(super) fn integer(self, name: &str, value: i64) -> Self {
        self.attribute(name, ATTRIBUTE_INT, |attribute| attribute.integer(3, value))
    }

    /// With whole numbers as a setting.
    pub(super) fn integers(self, name: &str, values: &[usize]) -> Self {
        let values = values.iter().map(|&value| value as i64);
        self.attribute(name, ATTRIBUTE_INTS, |attribute| attribute.integers(8, values))
    }

    /// With text as a setting.
    pub(super) fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, ATTRIBUTE_STRING, |attribute| attribute.text(4, value))
    }

    fn attribute(mut self, name: &str, kind: i64, value: impl FnOnce(&mut Message)) -> Self {
        let mut attribute = Message::default();
        attribute.text(1, name);
        value(&mut attribute);
        attribute.integer(20, kind);
        self.0.message(5, &attribute);
        self
    }
}

/// A graph being described.
#[derive(Default)]
pub(super) struct GraphProto(Message);

impl GraphProto {
    /// Adds an operation; those whose results it reads come before it.
    pub(super) fn node(&mut self, node: &Node) {
        self.0.message(1, &node.0);
    }

    /// Adds a constant of floating-point numbers.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, FLOAT, shape, &bytes);
    }

    /// Adds a constant list of whole numbers.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT64, &[values.len()], &bytes);
    }

    fn constant(&mut self, name: &str, kind: i64, shape: &[usize], bytes: &[u8]) {
        let mut tensor = Message::default();
        tensor.integers(1, shape.iter().map(|&size| size as i64));
        tensor.integer(2, kind);
        tensor.text(8, name);
        tensor.bytes(9, bytes);
        self.0.message(5, &tensor);
    }

    /// The graph called `name`, from `input` to `output`.
    fn finish(mut self, name: &str, input: &Image, output: &Image) -> Message {
        self.0.text(2, name);
        self.0.message(11, &input.value_info());
        self.0.message(12, &output.value_info());
        self.0
    }
}

/// A named value [N, channels, H, W] of floating-point numbers, of any N, H and W.
pub(super) struct Image<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its channels.
    pub channels: usize,
    /// What it is.
    pub about: &'a str,
}

impl Image<'_> {
    fn value_info(&self) -> Message {
        let mut shape = Message::default();
        let mut axis = |fill: &dyn Fn(&mut Message)| {
            let mut dimension = Message::default();
            fill(&mut dimension);
            shape.message(1, &dimension);
        };
        axis(&|dimension| dimension.text(2, "N"));
        axis(&|dimension| dimension.integer(1, self.channels as i64));
        axis(&|dimension| dimension.text(2, "H"));
        axis(&|dimension| dimension.text(2, "W"));
        let mut tensor = Message::default();
        tensor.integer(1, FLOAT);
        tensor.message(2, &shape);
        let mut kind = Message::default();
        kind.message(1, &tensor);
        let mut value = Message::default();
        value.text(1, self.name);
        value.message(2, &kind);
        value.text(3, self.about);
        value
    }
}

/// A whole file.
pub(super) struct Model<'a> {
    /// Its graph.
    pub graph: GraphProto,
    /// The graph's name.
    pub name: &'a str,
    /// What the file is, for people.
    pub about: &'a str,
    /// What goes in.
    pub input: Image<'a>,
    /// What comes out.
    pub output: Image<'a>,
    /// The version of the operations.
    pub opset: i64,
    /// The version of these messages.
    pub ir_version: i64,
    /// Further facts, by name.
    pub metadata: &'a [(String, String)],
}

impl Model<'_> {
    /// The bytes of the file.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut model = Message::default();
        model.integer(1, self.ir_version);
        model.text(2, env!("CARGO_PKG_NAME").trim_end_matches("-net"));
        model.text(3, env!("CARGO_PKG_VERSION"));
        model.integer(5, 1);
        model.text(6, self.about);
        let mut opset = Message::default();
        opset.text(1, "");
        opset.integer(2, self.opset);
        model.message(8, &opset);
        for (key, value) in self.metadata {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            model.message(14, &entry);
        }
        model.message(7, &self.graph.finish(self.name, &self.input, &self.output));
        model.into_bytes()
    }
}
