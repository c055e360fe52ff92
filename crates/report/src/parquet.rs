//! A table as Parquet.

use std::{io::Write, sync::Arc};

use parquet::{
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::parser::parse_message_type,
};

use crate::{
    ReportError, Table,
    table::{Column, Values},
};

impl Table {
    /// Writes the table as one Parquet row group, uncompressed, every column optional.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn write_parquet(&self, out: impl Write + Send) -> Result<(), ReportError> {
        let failed = |e: parquet::errors::ParquetError| ReportError::Encode {
            format: "Parquet",
            why: e.to_string(),
        };
        let fields: String = self.columns.iter().map(Column::parquet_field).collect();
        let schema =
            parse_message_type(&format!("message table {{ {fields} }}")).map_err(failed)?;
        let about = self
            .columns
            .iter()
            .map(|c| KeyValue::new(format!("about.{}", c.name), c.about.to_owned()))
            .collect();
        let properties = WriterProperties::builder()
            .set_created_by(format!("batchscope {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(about))
            .build();
        let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
            .map_err(failed)?;
        let mut group = writer.next_row_group().map_err(failed)?;
        for column in &self.columns {
            let mut sink =
                group
                    .next_column()
                    .map_err(failed)?
                    .ok_or_else(|| ReportError::Encode {
                        format: "Parquet",
                        why: "fewer columns than its schema".into(),
                    })?;
            column.write_parquet(&mut sink).map_err(failed)?;
            sink.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(())
    }
}

impl Column {
    fn parquet_field(&self) -> String {
        // a metric's own name may hold a dot, which Parquet's schema language reads as nesting
        let name = self.name.replace('.', "_");
        match self.values {
            Values::Whole(_) => format!("optional int64 {name} (INTEGER(64,false)); "),
            Values::Real(_) => format!("optional double {name}; "),
            Values::Text(_) => format!("optional binary {name} (STRING); "),
        }
    }

    fn write_parquet(
        &self,
        sink: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), parquet::errors::ParquetError> {
        fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
            values.iter().map(|v| i16::from(v.is_some())).collect()
        }
        match &self.values {
            Values::Whole(v) => {
                let present: Vec<i64> = v.iter().flatten().map(|x| *x as i64).collect();
                sink.typed::<Int64Type>()
                    .write_batch(&present, Some(&levels(v)), None)?;
            }
            Values::Real(v) => {
                let present: Vec<f64> = v.iter().flatten().copied().collect();
                sink.typed::<DoubleType>()
                    .write_batch(&present, Some(&levels(v)), None)?;
            }
            Values::Text(v) => {
                let present: Vec<ByteArray> = v
                    .iter()
                    .flatten()
                    .map(|x| ByteArray::from(x.as_str()))
                    .collect();
                sink.typed::<ByteArrayType>()
                    .write_batch(&present, Some(&levels(v)), None)?;
            }
        }
        Ok(())
    }
}
