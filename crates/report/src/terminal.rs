pub fn terminal_summary(_f: &batchwise_scaling::Findings, _w: usize, _c: bool) -> String {
    String::new()
}
pub fn trials_table(_r: &[batchwise_core::TrialRecord], _w: usize) -> String {
    String::new()
}
