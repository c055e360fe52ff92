//! The machine and the moment of a run: for the report's "how it was run".

use std::path::Path;

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

/// This machine, by its name: its host's, and its processor. `None` where the system does not tell.
pub fn name() -> Option<String> {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = told.or_else(|| std::env::var("HOSTNAME").ok())?;
    let host = told.trim();
    (!host.is_empty()).then(|| format!("{host} ({})", describe().cpu))
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
    kibibytes("/proc/meminfo", "MemTotal")
}

/// Memory in bytes that could be had without swapping, where the system tells: what the machine has left, or what this process's
/// control group has, if that is less.
pub fn available_bytes() -> Option<u64> {
    let of_machine = kibibytes("/proc/meminfo", "MemAvailable")?;
    Some(of_groups().unwrap_or(u64::MAX).min(of_machine))
}

/// What the control groups of this process have left, of either version: the group and those that hold it.
fn of_groups() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let left = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_start_matches('/');
        match controllers {
            "" => left_in("/sys/fs/cgroup", path, ["memory.max", "memory.current"], ""),
            _ if controllers.split(',').any(|name| name == "memory") => {
                let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
                left_in("/sys/fs/cgroup/memory", path, files, "total_")
            }
            _ => None,
        }
    };
    groups.lines().filter_map(left).min()
}

/// What the groups from `path` up to `root` have left, by the files of their limit and usage. What was read from files and not
/// used since counts as left, as in the machine's own figure.
fn left_in(root: &str, path: &str, [limit, usage]: [&str; 2], prefix: &str) -> Option<u64> {
    let left = |folder: &Path| -> Option<u64> {
        let number = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let cached = || {
            let text = std::fs::read_to_string(folder.join("memory.stat")).ok()?;
            let name = format!("{prefix}inactive_file ");
            let value = text.lines().find_map(|line| line.strip_prefix(&name))?;
            value.trim().parse::<u64>().ok()
        };
        // Without a limit version 2 has the word "max", version 1 a number beyond any memory.
        let used = number(usage)?.saturating_sub(cached().unwrap_or(0));
        Some(number(limit)?.saturating_sub(used))
    };
    let folders = Path::new(root).join(path);
    let own = folders.ancestors();
    own.take_while(|folder| folder.starts_with(root))
        .filter_map(left)
        .min()
}

/// A line `name: N kB` of a file of the system's, in bytes.
pub fn kibibytes(path: &str, name: &str) -> Option<u64> {
    let value = field(path, name)?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
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
