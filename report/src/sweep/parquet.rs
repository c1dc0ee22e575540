//! `sweep.parquet`: the columns of `sweep.csv` with their types, and the sweep's header among its key-value metadata. One
//! row group, not compressed, and no word about when it was made: the same cells give the same bytes.

use std::sync::Arc;

use ::parquet::basic::{LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::Type;
use scalesim::experiment::sweep::SweepResults;

use super::table::{Column, Values, columns};
use crate::ExportError;

/// The key of the header, which is JSON.
const HEADER: &str = "scalesim.sweep";

/// The table.
pub fn parquet(results: &SweepResults) -> Result<Vec<u8>, ExportError> {
    let header = serde_json::to_string(&results.header)?;
    let columns = columns(results);
    write(&columns, header).map_err(|error| ExportError::Parquet(error.to_string()))
}

fn write(columns: &[Column], header: String) -> Result<Vec<u8>, ParquetError> {
    let fields: Result<Vec<_>, ParquetError> =
        columns.iter().map(|column| field(column).map(Arc::new)).collect();
    let schema = Type::group_type_builder("sweep").with_fields(fields?).build()?;
    let properties = WriterProperties::builder()
        .set_created_by("scalesim".to_string())
        .set_key_value_metadata(Some(vec![KeyValue::new(HEADER.to_string(), header)]))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut rows = file.next_row_group()?;
    for column in columns {
        match &column.values {
            Values::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| Some(ByteArray::from(word.as_str()))).collect();
                put::<ByteArrayType>(&mut rows, &words)?;
            }
            Values::Integers(numbers) => put::<Int64Type>(&mut rows, numbers)?,
            Values::Numbers(numbers) => put::<DoubleType>(&mut rows, numbers)?,
            Values::Flags(flags) => put::<BoolType>(&mut rows, flags)?,
        }
    }
    rows.close()?;
    file.into_inner()
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.values {
        Values::Words(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Values::Integers(_) => (Physical::INT64, None),
        Values::Numbers(_) => (Physical::DOUBLE, None),
        Values::Flags(_) => (Physical::BOOLEAN, None),
    };
    Type::primitive_type_builder(&column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

/// Writes the next column: the values that are there, and which rows have one.
fn put<T: DataType<T: Clone>>(
    rows: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[Option<T::T>],
) -> Result<(), ParquetError> {
    let present: Vec<T::T> = values.iter().flatten().cloned().collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let Some(mut column) = rows.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the table".to_string()));
    };
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::Field;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_with_its_types_and_gaps() {
        let column = |name: &str, values| Column { name: name.to_string(), values };
        let columns = [
            column("cell", Values::Integers(vec![Some(0), Some(1)])),
            column("a path (min)", Values::Numbers(vec![None, Some(2.5)])),
            column("holds", Values::Flags(vec![Some(true), None])),
            column("axis", Values::Words(vec!["10s".to_string(), "ä".to_string()])),
        ];
        let bytes = write(&columns, "{}".to_string()).unwrap();
        assert_eq!(bytes, write(&columns, "{}".to_string()).unwrap());
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let metadata = file.metadata().file_metadata();
        assert_eq!((metadata.created_by(), metadata.num_rows()), (Some("scalesim"), 2));
        assert_eq!(metadata.key_value_metadata().unwrap()[0].key, HEADER);
        let rows: Vec<Vec<(String, Field)>> =
            file.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns()).collect();
        let names: Vec<&str> = rows[0].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cell", "a path (min)", "holds", "axis"]);
        let fields = |row: usize| rows[row].iter().map(|(_, field)| field.clone()).collect::<Vec<_>>();
        let word = |text: &str| Field::Str(text.to_string());
        assert_eq!(fields(0), [Field::Long(0), Field::Null, Field::Bool(true), word("10s")]);
        assert_eq!(fields(1), [Field::Long(1), Field::Double(2.5), Field::Null, word("ä")]);
    }
}
