//! `batchscope exchange`.

use std::{path::PathBuf, str::FromStr};

use batchscope_scaling::{GossipQuestion, Network, read_size};
use clap::Args;

use crate::values;

/// `batchscope exchange`.
#[derive(Debug, Args)]
pub struct ExchangeArgs {
    /// Measure between so many threads each [default: 2,4,8; under mpirun, its processes]
    #[arg(long, value_name = "RANKS", help_heading = "Measuring", value_delimiter = ',', value_parser = ranks)]
    pub ranks: Vec<u64>,
    /// Sizes of the vectors, in numbers of 4 bytes
    #[arg(long, value_name = "NUMBERS", help_heading = "Measuring", value_delimiter = ',', default_value = "1e3,1e4,1e5,1e6,1e7", value_parser = numbers)]
    pub sizes: Vec<u64>,
    /// Seconds of measuring, over all exchanges; each is repeated 5 to 101 times
    #[arg(
        long,
        value_name = "SECONDS",
        help_heading = "Measuring",
        default_value_t = 20.0
    )]
    pub budget: f64,
    /// Write what was measured to this JSON file, for `advise --exchange` and --from
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Take what was measured from this file, and measure nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ranks", "sizes", "budget", "out"])]
    pub from: Option<PathBuf>,
    /// When gossip pays on a stated network, up to 4096 devices; measures nothing: latency=5us,bandwidth=10G,numbers=25M,compute=50ms; also steps=1.2, the steps of gossip relative to all-reduce
    #[arg(long, value_name = "NETWORK", conflicts_with_all = ["ranks", "sizes", "budget", "out"])]
    pub model: Option<Stated>,
    /// Draw that into this SVG file: modeled parts dashed, those of --from solid
    #[arg(long, value_name = "FILE", help_heading = "Output", requires = "model")]
    pub figure: Option<PathBuf>,
    /// Print as JSON on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// A network that somebody states, and what is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stated {
    /// The network.
    pub network: Network,
    /// What is exchanged and computed.
    pub question: GossipQuestion,
}

impl FromStr for Stated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "latency=5us,bandwidth=10G,numbers=25M,compute=50ms";
        let (mut latency, mut bandwidth, mut exchanged, mut compute, mut step_ratio) =
            (None, None, None, None, None);
        for part in text.split(',') {
            let wrong = || format!("write {EXAMPLE}");
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            let value = value.trim();
            let of = |why: String| format!("{}: {why}", key.trim());
            match key.trim() {
                "latency" => latency = Some(seconds(value).map_err(of)?),
                "bandwidth" => bandwidth = Some(values::rate(value).map_err(of)?),
                "numbers" => exchanged = Some(numbers(value).map_err(of)?),
                "compute" => compute = Some(seconds(value).map_err(of)?),
                "steps" => step_ratio = Some(values::positive(value).map_err(of)?),
                other => {
                    return Err(format!(
                        "'{other}' is none of latency, bandwidth, numbers, compute and steps"
                    ));
                }
            }
        }
        let missing = |key: &str| format!("{key} is missing: write {EXAMPLE}");
        Ok(Self {
            network: Network {
                latency: latency.ok_or_else(|| missing("latency"))?,
                bandwidth: bandwidth.ok_or_else(|| missing("bandwidth"))?,
            },
            question: GossipQuestion {
                numbers: exchanged.ok_or_else(|| missing("numbers"))?,
                compute: compute.ok_or_else(|| missing("compute"))?,
                step_ratio,
            },
        })
    }
}

/// Members of a group that has something to exchange.
fn ranks(text: &str) -> Result<u64, String> {
    match text.trim().parse() {
        Ok(n @ 2..=256) => Ok(n),
        _ => Err("must be whole numbers from 2 to 256, for example 2,4,8".to_owned()),
    }
}

/// A whole number of numbers: `1000`, `1e6`, `25M`.
fn numbers(text: &str) -> Result<u64, String> {
    match read_size(text) {
        Some(x) if (1.0..=1e12).contains(&x) && x.fract() == 0.0 => Ok(x as u64),
        _ => Err("must be a whole number from 1 to 1e12, for example 1e6 or 25M".to_owned()),
    }
}

/// A length of time: `5us`, `0.2ms`, `1e-5`.
fn seconds(text: &str) -> Result<f64, String> {
    const UNITS: [(&str, f64); 5] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
    ];
    let text = text.trim();
    let unit = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (digits, unit) = unit.unwrap_or((text, 1.0));
    let value = values::at_least_zero(digits.trim());
    let value =
        value.map_err(|_| "must be a time of at least 0, for example 5us, 2ms or 1s".to_owned())?;
    Ok(value * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_stated_in_units() {
        let stated: Stated = "latency=5us, bandwidth=10GB/s,numbers=25M,compute=50ms,steps=1.2"
            .parse()
            .unwrap();
        assert!((stated.network.latency - 5e-6).abs() < 1e-18);
        assert_eq!(stated.network.bandwidth, 1e10);
        let question = &stated.question;
        assert_eq!(
            (question.numbers, question.step_ratio),
            (25_000_000, Some(1.2))
        );
        assert!((question.compute - 0.05).abs() < 1e-15);
        for (text, says) in [
            ("latency=5us", "bandwidth is missing"),
            ("latency=-5us", "latency: must be a time"),
            ("latency", "write latency="),
            ("speed=5", "'speed'"),
            ("numbers=0.5", "numbers: must be"),
            ("steps=0", "steps: must be"),
        ] {
            let error = text.parse::<Stated>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
