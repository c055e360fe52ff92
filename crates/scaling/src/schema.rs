//! The JSON schema of `findings.json`, made from its types and their comments.

use schemars::{Schema, generate::SchemaSettings, transform::transform_subschemas};

use crate::{Findings, findings::SCHEMA};

/// The schema of [`Findings`] as this version writes them, JSON Schema 2020-12. Keys that it does not name may be
/// there: additions raise the minor part of [`SCHEMA`].
pub fn findings_schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Findings>();
    plain(&mut schema);
    schema.insert("$id".to_owned(), SCHEMA.into());
    schema
}

/// Comments as prose: without examples, and without the brackets of links.
fn plain(schema: &mut Schema) {
    if let Some(text) = schema.get("description").and_then(|text| text.as_str()) {
        let prose = text.split("\n```").next().unwrap_or(text).trim_end();
        let prose = prose.replace("[`", "`").replace("`]", "`");
        schema.insert("description".to_owned(), prose.into());
    }
    transform_subschemas(&mut plain, schema);
}
