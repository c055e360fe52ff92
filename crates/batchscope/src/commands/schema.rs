//! `batchscope schema`: what other programs can rely on.

use super::print_json;
use crate::{args::SchemaOf, error::CliError};

/// Prints a JSON schema.
pub fn run(of: SchemaOf) -> Result<(), CliError> {
    match of {
        SchemaOf::Findings => print_json(&batchscope_scaling::findings_schema()),
        SchemaOf::Reports => print_json(&batchscope_command::protocol_schema()),
    }
}
