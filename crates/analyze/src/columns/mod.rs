//! A table of measurements, one row per object, as CSV, JSON or Parquet.

mod csv;
mod parquet;
mod read;

use std::path::{Path, PathBuf};

use deep3m_volume::fs;
use serde_json::{Map, Value, json};

use crate::AnalyzeError;

pub use read::CsvTable;

/// The values of a column. What has no meaning for a row is `None`: an empty cell, null.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Real numbers; those that are not finite are written as absent.
    Real(Vec<Option<f64>>),
    /// Yes or no.
    Flag(Vec<Option<bool>>),
    /// Words.
    Text(Vec<Option<String>>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Whole(v) => v.len(),
            Self::Real(v) => v.len(),
            Self::Flag(v) => v.len(),
            Self::Text(v) => v.len(),
        }
    }
}

/// A table by columns. A column's name ends with its unit: `volume_um3`, `centroid_z_nm`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    columns: Vec<(&'static str, Values)>,
}

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// A line of names, then a line for each row; commas, full stops in numbers (RFC 4180).
    Csv,
    /// A list of objects, one per row.
    Json,
    /// Apache Parquet: pandas, polars, R, DuckDB.
    Parquet,
}

impl TableFormat {
    /// The format that a name's ending says.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

impl Columns {
    /// Adds a column.
    ///
    /// # Panics
    /// If it has another number of rows than those before it, or the name of one of them.
    pub fn add(&mut self, name: &'static str, values: Values) {
        if let Some((first, other)) = self.columns.first() {
            assert_eq!(values.len(), other.len(), "rows of {name} and {first}");
        }
        assert!(self.columns.iter().all(|(other, _)| *other != name), "two columns {name}");
        self.columns.push((name, values));
    }

    /// The columns in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Values)> {
        self.columns.iter().map(|(name, values)| (*name, values))
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }

    /// The rows as JSON objects.
    pub fn to_json(&self) -> Value {
        let cell = |values: &Values, row: usize| match values {
            Values::Whole(v) => json!(v[row]),
            Values::Real(v) => json!(v[row].filter(|v| v.is_finite())),
            Values::Flag(v) => json!(v[row]),
            Values::Text(v) => json!(v[row]),
        };
        let object =
            |row| self.iter().map(|(name, values)| (name.to_owned(), cell(values, row))).collect::<Map<_, _>>();
        Value::Array((0..self.rows()).map(|row| Value::Object(object(row))).collect())
    }

    /// The table as CSV.
    pub fn to_csv(&self) -> String {
        csv::text(self)
    }

    /// Writes the table whole or not at all; the ending of the name says the format.
    ///
    /// # Errors
    /// [`AnalyzeError::TableName`] for another ending; what writing met.
    pub fn write(&self, path: &Path) -> Result<(), AnalyzeError> {
        let bytes = match TableFormat::of(path) {
            Some(TableFormat::Csv) => csv::text(self).into_bytes(),
            Some(TableFormat::Json) => {
                let mut text = format!("{:#}", self.to_json());
                text.push('\n');
                text.into_bytes()
            }
            Some(TableFormat::Parquet) => parquet::bytes(self)
                .map_err(|reason| AnalyzeError::Table { path: path.to_owned(), reason: reason.to_string() })?,
            None => return Err(AnalyzeError::TableName { path: PathBuf::from(path) }),
        };
        Ok(fs::write_atomic(path, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn table() -> Columns {
        let mut columns = Columns::default();
        columns.add("id", Values::Whole(vec![Some(1), Some(2)]));
        columns.add("volume_um3", Values::Real(vec![Some(0.1), Some(f64::NAN)]));
        columns.add("touches_border", Values::Flag(vec![Some(true), None]));
        columns.add("name", Values::Text(vec![Some("a, \"b\"".into()), None]));
        columns
    }

    #[test]
    fn json_has_a_row_per_object() {
        let json = table().to_json();
        assert_eq!(json[0], json!({"id": 1, "volume_um3": 0.1, "touches_border": true, "name": "a, \"b\""}));
        assert_eq!(json[1], json!({"id": 2, "volume_um3": null, "touches_border": null, "name": null}));
    }

    #[test]
    fn the_ending_says_the_format() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.csv", "a.JSON", "a.parquet"] {
            table().write(&folder.path().join(name)).unwrap();
        }
        let error = table().write(&folder.path().join("a.xlsx")).unwrap_err().to_string();
        assert!(error.contains(".csv, .json or .parquet"), "{error}");
    }
}
