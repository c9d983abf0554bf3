//! A table as Apache Parquet, one row group, uncompressed: a row takes some tens of bytes.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::{Columns, Values};

/// The file's bytes.
pub(super) fn bytes(table: &Columns) -> Result<Vec<u8>, ParquetError> {
    let fields = table.iter().map(|(name, values)| field(name, values)).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("objects").with_fields(fields).build()?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default()))?;
    let mut group = file.next_row_group()?;
    for (_, values) in table.iter() {
        let mut column =
            group.next_column()?.ok_or_else(|| ParquetError::General("a column more than the schema has".into()))?;
        match values {
            Values::Whole(v) => write::<Int64Type>(&mut column, v.iter().copied())?,
            Values::Real(v) => write::<DoubleType>(&mut column, v.iter().map(|v| v.filter(|v| v.is_finite())))?,
            Values::Flag(v) => write::<BoolType>(&mut column, v.iter().copied())?,
            Values::Text(v) => {
                write::<ByteArrayType>(&mut column, v.iter().map(|v| v.as_deref().map(ByteArray::from)))?;
            }
        }
        column.close()?;
    }
    group.close()?;
    file.into_inner()
}

fn field(name: &str, values: &Values) -> Result<Arc<Type>, ParquetError> {
    let physical = match values {
        Values::Whole(_) => Physical::INT64,
        Values::Real(_) => Physical::DOUBLE,
        Values::Flag(_) => Physical::BOOLEAN,
        Values::Text(_) => Physical::BYTE_ARRAY,
    };
    let text = matches!(values, Values::Text(_)).then_some(LogicalType::String);
    let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    Ok(Arc::new(field.with_logical_type(text).build()?))
}

/// Values, and for each row whether there is one.
fn write<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn it_reads_back() {
        let bytes = super::bytes(&super::super::tests::table()).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            rows,
            [
                "{id: 1, volume_um3: 0.1, touches_border: true, name: \"a, \"b\"\"}",
                "{id: 2, volume_um3: null, touches_border: null, name: null}"
            ]
        );
    }
}
