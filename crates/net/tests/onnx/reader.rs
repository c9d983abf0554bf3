//! A reader of ONNX files, as small as it can be: what a test needs to look into one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A field of a message: its number and its value.
pub(crate) enum Value<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
pub(crate) fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Integer(varint(&mut bytes)),
            2 => {
                let len = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(len);
                bytes = rest;
                Value::Bytes(value)
            }
            kind => panic!("field of kind {kind}"),
        };
        found.push((key >> 3, value));
    }
    found
}

impl<'a> Value<'a> {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("no bytes") };
        bytes
    }

    pub(crate) fn integer(&self) -> i64 {
        let Self::Integer(value) = self else { panic!("no integer") };
        *value as i64
    }
}

/// The values of all fields of one number.
pub(crate) fn all(bytes: &[u8], number: u64) -> Vec<Value<'_>> {
    fields(bytes).into_iter().filter(|(n, _)| *n == number).map(|(_, value)| value).collect()
}

/// An operation.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
    pub(crate) integers: BTreeMap<String, Vec<i64>>,
    pub(crate) texts: BTreeMap<String, String>,
}

/// A constant.
#[derive(Debug)]
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: i64,
    pub(crate) raw: Vec<u8>,
}

impl Constant {
    pub(crate) fn floats(&self) -> Vec<f32> {
        assert_eq!(self.kind, 1, "{}", self.name);
        self.raw.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    pub(crate) fn integers(&self) -> Vec<i64> {
        assert_eq!(self.kind, 7, "{}", self.name);
        self.raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// A file.
#[derive(Debug)]
pub(crate) struct Onnx {
    pub(crate) opset: i64,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: Vec<Constant>,
    /// Inputs, then outputs: name and axes.
    pub(crate) ends: Vec<(String, Vec<String>)>,
}

impl Onnx {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let graph = all(bytes, 7)[0].bytes();
        let metadata = all(bytes, 14).into_iter().map(|e| (all(e.bytes(), 1)[0].text(), all(e.bytes(), 2)[0].text()));
        let ends = all(graph, 11).into_iter().chain(all(graph, 12));
        Self {
            opset: all(all(bytes, 8)[0].bytes(), 2)[0].integer(),
            metadata: metadata.collect(),
            nodes: all(graph, 1).iter().map(|node| read_node(node.bytes())).collect(),
            constants: all(graph, 5).iter().map(|tensor| read_constant(tensor.bytes())).collect(),
            ends: ends.map(|value| read_end(value.bytes())).collect(),
        }
    }

    pub(crate) fn constant(&self, name: &str) -> &Constant {
        self.constants.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no constant {name}"))
    }

    /// One line per end, constant and operation.
    pub(crate) fn list(&self) -> String {
        let mut text = String::new();
        for (name, axes) in &self.ends {
            writeln!(text, "{name} [{}]", axes.join(", ")).unwrap();
        }
        for constant in &self.constants {
            writeln!(text, "constant {} {:?}", constant.name, constant.shape).unwrap();
        }
        for node in &self.nodes {
            let settings: Vec<String> = node
                .integers
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .chain(node.texts.iter().map(|(name, value)| format!("{name}={value}")))
                .collect();
            let line = format!("{} {} <- {}  {}", node.kind, node.output, node.inputs.join(" "), settings.join(" "));
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
        text
    }
}

fn read_node(bytes: &[u8]) -> Node {
    let mut node = Node::default();
    for (number, value) in fields(bytes) {
        match number {
            1 => node.inputs.push(value.text()),
            2 => node.output = value.text(),
            3 => node.name = value.text(),
            4 => node.kind = value.text(),
            5 => {
                let name = all(value.bytes(), 1)[0].text();
                match all(value.bytes(), 20)[0].integer() {
                    2 => drop(node.integers.insert(name, vec![all(value.bytes(), 3)[0].integer()])),
                    3 => drop(node.texts.insert(name, all(value.bytes(), 4)[0].text())),
                    7 => {
                        let values = all(value.bytes(), 8).iter().map(Value::integer).collect();
                        node.integers.insert(name, values);
                    }
                    kind => panic!("attribute of kind {kind}"),
                }
            }
            other => panic!("field {other} of a node"),
        }
    }
    node
}

fn read_constant(bytes: &[u8]) -> Constant {
    Constant {
        name: all(bytes, 8)[0].text(),
        shape: all(bytes, 1).iter().map(|size| size.integer() as usize).collect(),
        kind: all(bytes, 2)[0].integer(),
        raw: all(bytes, 9)[0].bytes().to_vec(),
    }
}

fn read_end(bytes: &[u8]) -> (String, Vec<String>) {
    let tensor = all(all(bytes, 2)[0].bytes(), 1)[0].bytes();
    let axes = all(all(tensor, 2)[0].bytes(), 1);
    let axes = axes.iter().map(|axis| match &fields(axis.bytes())[0] {
        (1, size) => size.integer().to_string(),
        (_, name) => name.text(),
    });
    (all(bytes, 1)[0].text(), axes.collect())
}
