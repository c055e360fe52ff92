//! How a program ended, and what that means.

use std::process::ExitStatus;

/// The end of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Code 0: it trained to its own end.
    Done,
    /// Code 3: it diverged.
    Diverged,
    /// Code 4, or its last words say so: it needs more memory than there is.
    OutOfMemory,
    /// It is to be run again, and why: code 75 (`EX_TEMPFAIL` of sysexits.h), a signal that was not ours, a job that
    /// Slurm ended.
    TryAgain(&'static str),
    /// Any other code.
    Failed(i32),
}

impl Exit {
    /// The meaning of a status, of a program that last wrote `words`. `kills` is how often the kernel had killed
    /// for want of memory before it was started ([`kills_for_memory`]).
    pub fn of(status: ExitStatus, words: &str, kills: Option<u64>) -> Self {
        match status.code() {
            None if kills.is_some() && kills_for_memory() > kills => Exit::OutOfMemory,
            Some(0) => Exit::Done,
            Some(3) => Exit::Diverged,
            Some(4) => Exit::OutOfMemory,
            Some(75) => Exit::TryAgain("it ended with exit code 75"),
            _ if out_of_memory(words).is_some() => Exit::OutOfMemory,
            Some(code) => Exit::Failed(code),
            None => Exit::TryAgain("a signal ended it"),
        }
    }
}

/// How often the kernel has killed a process for want of memory since it was started; `None` where it does not
/// say. A program that is killed so leaves no word.
pub fn kills_for_memory() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
    let line = counters
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

/// What libraries and the system print when memory runs out, each where it was seen.
const SIGNS: &[&str] = &[
    // PyTorch's and CuPy's exception, and PyTorch's messages before 2.5
    "OutOfMemoryError",
    "CUDA out of memory",
    "HIP out of memory",
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    // CUDA's libraries
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    // JAX and TensorFlow
    "RESOURCE_EXHAUSTED",
    "ResourceExhaustedError",
    // Python, NumPy, C++, the C library
    "MemoryError",
    "std::bad_alloc",
    "Cannot allocate memory",
    // Rust
    "memory allocation of",
    // Slurm, and the kernel where its log is shown
    "oom_kill event",
    "oom-kill",
    "Out of memory: Killed process",
];

/// The line among a program's last words that says that memory ran out.
pub fn out_of_memory(words: &str) -> Option<&str> {
    words
        .lines()
        .rev()
        .find(|line| SIGNS.iter().any(|sign| line.contains(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_libraries_are_known() {
        for words in [
            "Traceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.",
            "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.",
            "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array with shape (1,)",
            "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,796,093,022,208 bytes (allocated so far: 0 bytes).",
            "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4.00TiB with allocator GPU_0_bfc on device 0.",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0.",
        ] {
            assert!(out_of_memory(words).is_some(), "{words}");
        }
        assert_eq!(out_of_memory("KeyError: 'batch'\nmemory is fine"), None);
    }
}
