//! Numbers as text: those of [`batchscope_core::format`], and the labels of axes.

pub use batchscope_core::format::*;

/// A learning rate, with the momentum that was tuned beside it: `0.05, momentum 0.93`.
pub fn learning_rate(rate: f64, momentum: Option<f64>) -> String {
    match momentum {
        None => number(rate),
        Some(momentum) => format!("{}, momentum {}", number(rate), number(momentum)),
    }
}

/// `10 warm-up steps`, with the shape before it if that is a special one (`gradual `), or `no warm-up`.
pub fn warm_up(steps: u64, shape: &str) -> String {
    match steps {
        0 => "no warm-up".to_owned(),
        1 => format!("1 {shape}warm-up step"),
        _ => format!("{} {shape}warm-up steps", count(steps)),
    }
}

/// A power of two as people say it on an axis: 64, 128, 1k, 8k, 1M.
pub fn batch_tick(batch: f64) -> String {
    const M: f64 = 1024.0 * 1024.0;
    if batch >= M && batch % M == 0.0 {
        format!("{}M", batch / M)
    } else if batch >= 1024.0 && batch % 1024.0 == 0.0 {
        format!("{}k", batch / 1024.0)
    } else {
        number(batch)
    }
}

/// A decimal number as short as an axis wants it: 500, 2k, 10k, 3M.
pub fn axis_tick(x: f64) -> String {
    for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if x.abs() >= unit * 0.9999 {
            return format!("{}{name}", number(x / unit));
        }
    }
    number(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_said_as_people_say_them() {
        assert_eq!(
            [64.0, 1024.0, 8192.0, 2_097_152.0].map(batch_tick),
            ["64", "1k", "8k", "2M"]
        );
        assert_eq!(
            [500.0, 2000.0, 1e4, 3e6, 0.05].map(axis_tick),
            ["500", "2k", "10k", "3M", "0.05"]
        );
    }
}
