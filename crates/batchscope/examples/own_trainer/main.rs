//! batchscope with a trainer of your own: `--trainer noisy-quadratic` trains with it.
//!
//! ```text
//! cargo run --release -p batchscope --example own_trainer -- study --trainer noisy-quadratic \
//!     --target train-loss=0.1 --batch-sizes 4..4096:x4 --learning-rates 0.001..2 --tune-width full
//! cargo run --release -p batchscope --example own_trainer -- advise batchscope-study
//! ```

mod noisy_quadratic;

use std::process::ExitCode;

fn main() -> ExitCode {
    batchscope::main_with(&[&noisy_quadratic::NOISY_QUADRATIC])
}
