//! `batchscope`: finds the batch size to train with, and shows the evidence.

use std::process::ExitCode;

/// Training allocates and frees large tensors every step; glibc returns them to the kernel each
/// time, which costs up to half the throughput (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    batchscope::main_with(&[])
}
