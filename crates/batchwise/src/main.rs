//! Placeholder until the rooms stand.
fn main() {}
