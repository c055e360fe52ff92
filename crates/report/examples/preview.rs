//! Writes the report of each synthetic study: `cargo run -p batchwise-report --example preview -- DIR`.
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

fn main() -> Result<(), batchwise_report::ReportError> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "preview".to_owned());
    for study in fixtures::all() {
        let dir = std::path::Path::new(&dir).join(study.name);
        let files = batchwise_report::write(&dir, &study.findings, &study.records, &study.how)?;
        println!("{}: {} files", dir.display(), files.len());
        println!(
            "{}",
            batchwise_report::terminal_summary(&study.findings, 80, false)
        );
    }
    Ok(())
}
