//! YAML, as much of it as a description needs: maps, lists and scalars, in the order given.

use std::fmt::Write as _;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Yaml {
    /// Text, written as JSON writes it, which YAML reads.
    Text(String),
    /// A number or a truth value, as it is written.
    Plain(String),
    /// Values in order.
    List(Vec<Yaml>),
    /// Values by name, in order.
    Map(Vec<(&'static str, Yaml)>),
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<usize> for Yaml {
    fn from(value: usize) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<f64> for Yaml {
    fn from(value: f64) -> Self {
        // With a decimal point, so that 8 nm stays a floating-point number.
        Self::Plain(format!("{value:?}"))
    }
}

impl From<bool> for Yaml {
    fn from(value: bool) -> Self {
        Self::Plain(value.to_string())
    }
}

impl Yaml {
    /// The value as a file.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0, false);
        text.trim_start_matches('\n').to_owned() + "\n"
    }

    /// `inline`: the first entry stands on the line that is there already, after a list's dash.
    fn write(&self, text: &mut String, depth: usize, inline: bool) {
        match self {
            Self::Text(value) => text.push_str(&serde_json::Value::from(value.as_str()).to_string()),
            Self::Plain(value) => text.push_str(value),
            Self::List(values) if values.is_empty() => text.push_str("[]"),
            Self::Map(entries) if entries.is_empty() => text.push_str("{}"),
            Self::List(values) => {
                for value in values {
                    let _ = write!(text, "\n{:1$}- ", "", 2 * depth);
                    value.write(text, depth + 1, true);
                }
            }
            Self::Map(entries) => {
                for (place, (name, value)) in entries.iter().enumerate() {
                    if place > 0 || !inline {
                        let _ = write!(text, "\n{:1$}", "", 2 * depth);
                    }
                    let _ = write!(text, "{name}:");
                    let nested = match value {
                        Self::List(values) => !values.is_empty(),
                        Self::Map(entries) => !entries.is_empty(),
                        _ => false,
                    };
                    if !nested {
                        text.push(' ');
                    }
                    value.write(text, depth + 1, false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_maps_are_indented() {
        let value = Yaml::Map(vec![
            ("name", "a \"b\": ü".into()),
            ("none", Yaml::List(vec![])),
            (
                "axes",
                Yaml::List(vec![
                    Yaml::Map(vec![("id", "y".into()), ("size", Yaml::Map(vec![("min", 4_usize.into())]))]),
                    8.0.into(),
                ]),
            ),
            ("last", true.into()),
        ]);
        let expected =
            "name: \"a \\\"b\\\": ü\"\nnone: []\naxes:\n  - id: \"y\"\n    size:\n      min: 4\n  - 8.0\nlast: true\n";
        assert_eq!(value.to_text(), expected);
    }
}
