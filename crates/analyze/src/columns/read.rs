//! A table read back from comma-separated values.

use std::path::{Path, PathBuf};

use deep3m_volume::fs;

use crate::AnalyzeError;

/// A table as it is written in a file: names, and cells as text.
///
/// Cells are those of RFC 4180: quoted where they hold a comma, a quote or a line's end. A semicolon or tab between cells is
/// taken too, where the first line has no comma: spreadsheets of some countries write these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvTable {
    path: PathBuf,
    names: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    /// Of the file, from 1.
    line: usize,
    cells: Vec<String>,
}

impl CsvTable {
    /// Reads a file.
    ///
    /// # Errors
    /// [`AnalyzeError::TableRow`] for a line with more or fewer cells than names, or a quote that does not end; what reading
    /// met.
    pub fn read(path: &Path) -> Result<Self, AnalyzeError> {
        Self::parse(path, &fs::read_to_string(path)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, AnalyzeError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rows = split(path, text)?.into_iter();
        let names = rows.next().map(|row| row.cells).unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        let rows: Vec<Row> = rows.collect();
        match rows.iter().find(|row| row.cells.len() != names.len()) {
            Some(Row { line, cells }) => {
                let (found, expected) = (cells.len(), names.len());
                Err(bad(
                    path,
                    *line,
                    format!("{found} cells"),
                    &format!("{expected}, as many as there are names in the first line"),
                ))
            }
            None => Ok(Self { path: path.to_owned(), names, rows }),
        }
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many rows there are, without the names.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A column as text; `None` where none has this name.
    pub fn text(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let at = self.column(name)?;
        Some(self.rows.iter().map(move |row| row.cells[at].as_str()))
    }

    /// A column of numbers, with the empty cells as `None`; `None` where no column has this name.
    ///
    /// # Errors
    /// [`AnalyzeError::TableRow`] at the first cell that is no number.
    pub fn numbers(&self, name: &str) -> Result<Option<Vec<Option<f64>>>, AnalyzeError> {
        let Some(at) = self.column(name) else { return Ok(None) };
        let number = |row: &Row| match row.cells[at].trim() {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Some(value)),
                _ => Err(bad(
                    &self.path,
                    row.line,
                    format!("'{text}' as {name}"),
                    "a number, with a full stop for decimals",
                )),
            },
        };
        self.rows.iter().map(number).collect::<Result<_, _>>().map(Some)
    }

    /// As [`Self::numbers`], of a column without empty cells.
    ///
    /// # Errors
    /// [`AnalyzeError::TableRow`] at the first cell that is no number.
    pub fn full_numbers(&self, name: &str) -> Result<Option<Vec<f64>>, AnalyzeError> {
        let Some(numbers) = self.numbers(name)? else { return Ok(None) };
        let full = |(number, row): (Option<f64>, &Row)| {
            number.ok_or_else(|| bad(&self.path, row.line, format!("an empty cell as {name}"), "a number"))
        };
        numbers.into_iter().zip(&self.rows).map(full).collect::<Result<_, _>>().map(Some)
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }
}

fn bad(path: &Path, line: usize, found: String, expected: &str) -> AnalyzeError {
    AnalyzeError::TableRow { path: path.to_owned(), line, found, expected: expected.to_owned() }
}

/// The lines that are not empty, in cells.
fn split(path: &Path, text: &str) -> Result<Vec<Row>, AnalyzeError> {
    let first = text.lines().next().unwrap_or_default();
    let comma = [',', ';', '\t'].into_iter().find(|&comma| first.contains(comma)).unwrap_or(',');
    let mut rows = Vec::new();
    let mut row = Row { line: 1, cells: Vec::new() };
    let mut cell = String::new();
    let mut line = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if cell.is_empty() => {
                let begun = line;
                loop {
                    match letters.next() {
                        Some('"') if letters.next_if_eq(&'"').is_some() => cell.push('"'),
                        Some('"') => break,
                        Some(letter) => {
                            line += usize::from(letter == '\n');
                            cell.push(letter);
                        }
                        None => return Err(bad(path, begun, "a quote that does not end".into(), "a second quote")),
                    }
                }
            }
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                end(&mut rows, &mut row, &mut cell);
                line += 1;
                row.line = line;
            }
            letter if letter == comma => row.cells.push(std::mem::take(&mut cell)),
            letter => cell.push(letter),
        }
    }
    end(&mut rows, &mut row, &mut cell);
    Ok(rows)
}

/// Ends a line; an empty one is none.
fn end(rows: &mut Vec<Row>, row: &mut Row, cell: &mut String) {
    let row = std::mem::take(row);
    let cell = std::mem::take(cell);
    if !row.cells.is_empty() || !cell.is_empty() {
        let mut cells = row.cells;
        cells.push(cell);
        rows.push(Row { line: row.line, cells });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<CsvTable, String> {
        CsvTable::parse(Path::new("p.csv"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_reads_back() {
        let table = parse(&super::super::tests::table().to_csv()).unwrap();
        assert_eq!(table.names(), ["id", "volume_um3", "touches_border", "name"]);
        assert_eq!(table.text("name").unwrap().collect::<Vec<_>>(), ["a, \"b\"", ""]);
        assert_eq!(table.numbers("volume_um3").unwrap(), Some(vec![Some(0.1), None]));
        assert_eq!(table.full_numbers("id").unwrap(), Some(vec![1.0, 2.0]));
        assert!(table.numbers("volume_nm3").unwrap().is_none());
    }

    #[test]
    fn as_spreadsheets_write_it() {
        let table = parse("\u{feff}z; name\r\n1;\"two\r\nlines\"\r\n\r\n3;\r\n").unwrap();
        assert_eq!(table.names(), ["z", "name"]);
        assert_eq!(table.text("name").unwrap().collect::<Vec<_>>(), ["two\r\nlines", ""]);
        assert_eq!(table.rows(), 2);
    }

    #[test]
    fn errors_have_the_line() {
        for (text, words) in [
            ("z,y\n1,2\n\n3\n", "p.csv: line 4: found 1 cells; expected 2"),
            ("z,y\n1,\"2\n3,4\n", "line 2: found a quote that does not end"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let table = parse("z,name\n\"a\nb\",1\n,2\n").unwrap();
        let error = table.numbers("z").unwrap_err().to_string();
        assert!(error.contains("line 2: found 'a\nb' as z; expected a number"), "{error}");
        let error = parse("z\n1\n \n").unwrap().full_numbers("z").unwrap_err().to_string();
        assert!(error.contains("line 3: found an empty cell as z"), "{error}");
        assert!(parse("z\nnan\n").unwrap().numbers("z").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\",\n\r;a1.\t ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
