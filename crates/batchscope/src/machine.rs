//! The machine and the moment of a run: for the report's "how it was run".

use batchscope_report::Machine;
use jiff::Timestamp;

/// Processor, cores and memory, as far as the system tells.
pub fn describe() -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let cpu =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    Machine {
        cpu: format!("{cpu}{}", vectors()),
        cores,
        memory: memory_bytes().unwrap_or(0),
    }
}

/// The widest vectors the kernels can use here.
fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return " (AVX-512)";
    } else if std::arch::is_x86_feature_detected!("avx2") {
        return " (AVX2)";
    }
    ""
}

/// Physical memory in bytes, where `/proc/meminfo` tells.
fn memory_bytes() -> Option<u64> {
    let kib = field("/proc/meminfo", "MemTotal")?;
    kib.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The first `name : value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Now, in UTC, to the second.
pub fn now() -> String {
    let now = Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}
