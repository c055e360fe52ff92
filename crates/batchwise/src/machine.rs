//! The machine a study ran on, in words: for the report's "how it was run".

/// Processor, cores and memory, as far as the system tells.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut parts = vec![format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)];
    if let Some(cpu) = field("/proc/cpuinfo", "model name") {
        parts.push(cpu);
    }
    parts.push(format!("{cores} core{}", if cores == 1 { "" } else { "s" }));
    if let Some(memory) = memory_bytes() {
        parts.push(format!("{:.0} GiB memory", memory as f64 / (1u64 << 30) as f64));
    }
    #[cfg(target_arch = "x86_64")]
    parts.push(
        if std::arch::is_x86_feature_detected!("avx512f") {
            "AVX-512"
        } else if std::arch::is_x86_feature_detected!("avx2") {
            "AVX2"
        } else {
            "SSE2"
        }
        .to_owned(),
    );
    parts.join(", ")
}

/// Physical memory in bytes, where `/proc/meminfo` tells.
pub fn memory_bytes() -> Option<u64> {
    let kib = field("/proc/meminfo", "MemTotal")?;
    kib.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The first `name : value` line of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
