//! Our side of `benches/peers/compare`: one workload, measured in a process of its own.
//!
//! * `step list` prints the workloads and the batch sizes they are reported at.
//! * `step start WORKLOAD BATCH FILE` writes what all sides start from, weights and batch, as
//!   safetensors.
//! * `step serve WORKLOAD BATCH` answers the lines of `serve.rs` with a line of JSON each.
//! * `step peak` prints the machine's matrix product peak.
//!
//! By hand: `echo 'time 2' | cargo run --release -p batchscope --example step serve W2 256`.

#[path = "../../benches/step/clocked.rs"]
mod clocked;
mod data;
mod machine;
mod serve;
mod split;
mod start;
#[path = "../../benches/step/workloads.rs"]
mod workloads;

use std::path::Path;

use workloads::{Failure, WORKLOADS, Workload, in_pool};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str =
    "usage: step list, step start WORKLOAD BATCH FILE, step serve WORKLOAD BATCH, or step peak";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            let sizes = |w: &Workload| (w.name.to_owned(), w.batch_sizes.into());
            let list: serde_json::Map<_, _> = WORKLOADS.iter().map(sizes).collect();
            println!("{}", serde_json::Value::from(list));
            Ok(())
        }
        ["start", name, batch_size, file] => {
            let step = workload(name)?.step(batch_size.parse()?)?;
            start::write(&step, Path::new(file))
        }
        ["serve", name, batch_size] => {
            let (workload, batch_size) = (workload(name)?, batch_size.parse()?);
            in_pool(|| serve::serve(workload, batch_size))?
        }
        ["peak"] => {
            let peak = in_pool(machine::gemm_peak)?;
            println!("{}", serde_json::json!({ "flops": peak }));
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn workload(name: &str) -> Result<&'static Workload, Failure> {
    let known = WORKLOADS.iter().find(|w| w.name == name);
    known.ok_or_else(|| format!("'{name}' is not a workload: choose W1, W2, W3 or W4").into())
}
