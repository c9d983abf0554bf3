//! A table as comma-separated values, as RFC 4180 has them.

use std::fmt::Write as _;

use super::{Columns, Values};

/// The table's text: numbers in the shortest form that reads back as the same number.
pub(super) fn text(table: &Columns) -> String {
    let mut text = table.iter().map(|(name, _)| name).collect::<Vec<_>>().join(",");
    text.push('\n');
    for row in 0..table.rows() {
        for (i, (_, values)) in table.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            // Writing into a text cannot fail.
            let _ = match values {
                Values::Whole(v) => v[row].map_or(Ok(()), |v| write!(text, "{v}")),
                Values::Real(v) => v[row].filter(|v| v.is_finite()).map_or(Ok(()), |v| write!(text, "{v}")),
                Values::Flag(v) => v[row].map_or(Ok(()), |v| write!(text, "{v}")),
                Values::Text(v) => v[row].as_ref().map_or(Ok(()), |v| write!(text, "{}", quoted(v))),
            };
        }
        text.push('\n');
    }
    text
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_has_no_value_is_empty_and_commas_are_quoted() {
        let text = super::text(&super::super::tests::table());
        assert_eq!(text, "id,volume_um3,touches_border,name\n1,0.1,true,\"a, \"\"b\"\"\"\n2,,,\n");
    }
}
