//! Times of exchanges that were measured on a machine.

use batchscope_core::{Estimate, format::count, statistics::normal_quantile};
use serde::{Deserialize, Serialize};

use super::{LEVEL, NoExchange, Operation};
use crate::cost::ln_error_of_median;

/// Version of the file that holds an [`ExchangeMeasurement`].
pub const EXCHANGE_VERSION: u32 = 1;

/// How far beyond the smallest and the largest measured vector a time is still given, as a ratio.
pub const MAX_BEYOND: f64 = 2.0;

/// Most rows that a file may have: far more than anybody measures.
pub(super) const MAX_ROWS: usize = 100_000;

/// What carried the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// Threads of one process.
    Threads,
    /// Processes that MPI started, on one machine.
    Mpi,
}

impl Carrier {
    /// In a sentence: `on threads`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Threads => "on threads",
            Self::Mpi => "over MPI",
        }
    }
}

/// Exchanges that were timed on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExchangeMeasurement {
    /// [`EXCHANGE_VERSION`].
    pub version: u32,
    /// The machine, by its name.
    pub machine: String,
    /// Cores that the process which measured could use.
    pub cores: u64,
    /// What carried the messages.
    pub carrier: Carrier,
    /// One exchange a row.
    pub rows: Vec<ExchangeRow>,
}

/// One exchange that was timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExchangeRow {
    /// What was exchanged.
    pub operation: Operation,
    /// Members of the group, at least 2.
    pub ranks: u64,
    /// Numbers of 4 bytes that each member has.
    pub numbers: u64,
    /// Median over repeats of the seconds that the slowest member took.
    pub seconds: f64,
    /// Lower quartile, in seconds.
    pub low: f64,
    /// Upper quartile, in seconds.
    pub high: f64,
    /// Repeats.
    pub n: u64,
}

/// Which time is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeAsked<'a> {
    /// On which machine, by its name.
    pub machine: &'a str,
    /// Carried by what.
    pub carrier: Carrier,
    /// Which exchange.
    pub operation: Operation,
    /// Between how many members.
    pub ranks: u64,
    /// Of how many numbers of 4 bytes.
    pub numbers: u64,
}

/// How a time follows from the measured ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// A vector of this size was timed.
    Measured,
    /// Between two sizes that were timed.
    Between {
        /// The smaller of them, in numbers.
        smaller: u64,
        /// The larger.
        larger: u64,
    },
    /// Beyond the last size that was timed, by at most [`MAX_BEYOND`].
    Beyond {
        /// That size, in numbers.
        nearest: u64,
    },
}

impl Reading {
    /// In a table: `measured`, `between 1000 and 10,000`, `beyond 10,000`.
    pub fn words(self) -> String {
        match self {
            Self::Measured => "measured".to_owned(),
            Self::Between { smaller, larger } => {
                format!("between {} and {}", count(smaller), count(larger))
            }
            Self::Beyond { nearest } => format!("beyond {}", count(nearest)),
        }
    }
}

/// A time from measured ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExchangeTime {
    /// Seconds of an exchange: the median, with its interval.
    pub seconds: Estimate,
    /// How it follows.
    pub reading: Reading,
}

impl ExchangeMeasurement {
    /// Checks what was read from a file.
    ///
    /// # Errors
    /// [`NoExchange::Version`], [`NoExchange::Rows`], [`NoExchange::Row`].
    pub fn check(&self) -> Result<(), NoExchange> {
        if self.version != EXCHANGE_VERSION {
            let found = self.version;
            return Err(NoExchange::Version { found });
        }
        if self.rows.is_empty() || self.rows.len() > MAX_ROWS {
            let found = self.rows.len();
            return Err(NoExchange::Rows { found });
        }
        let mut seen = std::collections::BTreeSet::new();
        for (i, row) in self.rows.iter().enumerate() {
            let wrong = |why| Err(NoExchange::Row { row: i + 1, why });
            let ordered = row.low <= row.seconds && row.seconds <= row.high;
            if row.ranks < 2 || row.numbers == 0 || row.n == 0 {
                return wrong("has fewer than 2 ranks, or no numbers or repeats");
            }
            if !(row.low > 0.0 && row.high.is_finite() && ordered) {
                return wrong("has times that are no quartiles above 0 s");
            }
            if !seen.insert((row.operation, row.ranks, row.numbers)) {
                return wrong("repeats another");
            }
        }
        Ok(())
    }

    /// Refuses every machine but the one it was measured on.
    ///
    /// # Errors
    /// [`NoExchange::Machine`].
    pub fn check_machine(&self, here: &str) -> Result<(), NoExchange> {
        match self.machine == here {
            true => Ok(()),
            false => Err(NoExchange::Machine {
                measured: self.machine.clone(),
                here: here.to_owned(),
            }),
        }
    }

    /// Exchanges and numbers of members that were timed, each once: by members, then by exchange.
    pub fn timed(&self) -> Vec<(u64, Operation)> {
        let rows = self.rows.iter().map(|row| (row.ranks, row.operation));
        let timed: std::collections::BTreeSet<_> = rows.collect();
        timed.into_iter().collect()
    }

    /// The time of an exchange: as it was measured, or on the line through the two nearest sizes on logarithmic axes,
    ///
    /// ```text
    /// ln t = ln t₁ + (ln x − ln x₁)/(ln x₂ − ln x₁) · (ln t₂ − ln t₁)
    /// ```
    ///
    /// which may be drawn out by a factor of [`MAX_BEYOND`]. Never from another machine, carrier or number of members.
    /// The relative error is the larger of the two; that the line is straight is assumed.
    ///
    /// # Errors
    /// Why there is none.
    pub fn seconds(&self, asked: &ExchangeAsked) -> Result<ExchangeTime, NoExchange> {
        self.check_machine(asked.machine)?;
        if self.carrier != asked.carrier {
            return Err(NoExchange::Carrier {
                measured: self.carrier,
                asked: asked.carrier,
            });
        }
        let mut rows: Vec<&ExchangeRow> = self
            .rows
            .iter()
            .filter(|row| (row.operation, row.ranks) == (asked.operation, asked.ranks))
            .collect();
        rows.sort_by_key(|row| row.numbers);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(NoExchange::Ranks {
                operation: asked.operation,
                ranks: asked.ranks,
            });
        };
        let after = rows.partition_point(|row| row.numbers < asked.numbers);
        if let Some(row) = rows.get(after).filter(|row| row.numbers == asked.numbers) {
            return Ok(ExchangeTime {
                seconds: row.estimate(row.seconds, row.ln_error()),
                reading: Reading::Measured,
            });
        }
        let is_inside = after > 0 && after < rows.len();
        let nearest = if after == 0 { first } else { last };
        if !is_inside {
            let (x, at) = (asked.numbers as f64, nearest.numbers as f64);
            let ratio = (x / at).max(at / x);
            if ratio > MAX_BEYOND {
                return Err(NoExchange::Beyond {
                    numbers: asked.numbers,
                    nearest: nearest.numbers,
                    ratio,
                });
            }
            if rows.len() < 2 {
                let measured = nearest.numbers;
                return Err(NoExchange::OneSize { measured });
            }
        }
        let i = after.clamp(1, rows.len() - 1);
        let (a, b) = (rows[i - 1], rows[i]);
        let ln = |row: &ExchangeRow| ((row.numbers as f64).ln(), row.seconds.ln());
        let ((x1, t1), (x2, t2)) = (ln(a), ln(b));
        let part = ((asked.numbers as f64).ln() - x1) / (x2 - x1);
        let error = a.ln_error().max(b.ln_error());
        let fewer = if a.n < b.n { a } else { b };
        Ok(ExchangeTime {
            seconds: fewer.estimate((t1 + part * (t2 - t1)).exp(), error),
            reading: match is_inside {
                true => Reading::Between {
                    smaller: a.numbers,
                    larger: b.numbers,
                },
                false => Reading::Beyond {
                    nearest: nearest.numbers,
                },
            },
        })
    }
}

impl ExchangeRow {
    /// Standard error of the logarithm of the median.
    fn ln_error(&self) -> f64 {
        ln_error_of_median(self.seconds, self.low, self.high, self.n)
    }

    /// So many seconds with an interval of this error, from as many repeats.
    fn estimate(&self, seconds: f64, error: f64) -> Estimate {
        let factor = (normal_quantile(0.5 + 0.5 * LEVEL) * error).exp();
        Estimate::estimated(seconds, seconds / factor, seconds * factor, LEVEL, self.n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(operation: Operation, ranks: u64, numbers: u64, seconds: f64) -> ExchangeRow {
        ExchangeRow {
            operation,
            ranks,
            numbers,
            seconds,
            low: 0.99 * seconds,
            high: 1.01 * seconds,
            n: 25,
        }
    }

    fn measured(rows: Vec<ExchangeRow>) -> ExchangeMeasurement {
        ExchangeMeasurement {
            version: EXCHANGE_VERSION,
            machine: "here".to_owned(),
            cores: 2,
            carrier: Carrier::Threads,
            rows,
        }
    }

    const ASKED: ExchangeAsked = ExchangeAsked {
        machine: "here",
        carrier: Carrier::Threads,
        operation: Operation::AllReduce,
        ranks: 4,
        numbers: 1000,
    };

    fn seconds(of: &ExchangeMeasurement, numbers: u64) -> Result<(f64, Reading), NoExchange> {
        let time = of.seconds(&ExchangeAsked { numbers, ..ASKED })?;
        Ok((time.seconds.value.unwrap(), time.reading))
    }

    #[test]
    fn a_line_on_logarithmic_axes_joins_what_was_measured() {
        // t = 1e-6·x^0.5
        let of = measured(vec![
            row(Operation::AllReduce, 4, 1_000_000, 1e-3),
            row(Operation::AllReduce, 4, 10_000, 1e-4),
            row(Operation::Ring, 4, 10_000, 9.0),
            row(Operation::AllReduce, 8, 10_000, 9.0),
        ]);
        of.check().unwrap();
        assert_eq!(seconds(&of, 10_000).unwrap(), (1e-4, Reading::Measured));
        let (time, reading) = seconds(&of, 90_000).unwrap();
        assert!((time - 3e-4).abs() < 1e-12, "{time}");
        let (smaller, larger) = (10_000, 1_000_000);
        assert_eq!(reading, Reading::Between { smaller, larger });
        let (time, reading) = seconds(&of, 1_960_000).unwrap();
        assert!((time - 1.4e-3).abs() < 1e-12, "{time}");
        assert_eq!(reading, Reading::Beyond { nearest: 1_000_000 });
        let (time, _) = seconds(&of, 5_625).unwrap();
        assert!((time - 7.5e-5).abs() < 1e-12, "{time}");
        let time = of.seconds(&ExchangeAsked {
            numbers: 10_000,
            ..ASKED
        });
        let interval = time.unwrap().seconds;
        let half = 1.959_964f64 * 1.2533 / 1.349 * 0.02 / 5.0;
        assert!((interval.high.unwrap() / 1e-4 - half.exp()).abs() < 1e-6);
        assert_eq!(interval.n, 25);
    }

    #[test]
    fn what_was_not_measured_is_refused_with_a_reason() {
        let of = measured(vec![
            row(Operation::AllReduce, 4, 10_000, 1e-4),
            row(Operation::AllReduce, 4, 100_000, 1e-3),
            row(Operation::Ring, 4, 10_000, 1e-4),
        ]);
        let why = |asked: ExchangeAsked| of.seconds(&asked).unwrap_err().to_string();
        let numbers = 200_001;
        assert!(why(ExchangeAsked { numbers, ..ASKED }).contains("up to 2 times"));
        let numbers = 4_999;
        assert!(why(ExchangeAsked { numbers, ..ASKED }).contains("10,000"));
        assert!(
            why(ExchangeAsked {
                numbers: 0,
                ..ASKED
            })
            .contains("nearest")
        );
        let ranks = 8;
        let said = why(ExchangeAsked { ranks, ..ASKED });
        assert_eq!(said, "all-reduce between 8 was not measured");
        let carrier = Carrier::Mpi;
        let said = why(ExchangeAsked { carrier, ..ASKED });
        assert_eq!(said, "it was measured on threads, not over MPI");
        let said = why(ExchangeAsked {
            machine: "there",
            ..ASKED
        });
        assert!(
            said.contains("'here'") && said.contains("'there'"),
            "{said}"
        );
        let said = why(ExchangeAsked {
            operation: Operation::Ring,
            numbers: 11_000,
            ..ASKED
        });
        assert!(said.contains("only 10,000 numbers"), "{said}");
    }

    #[test]
    fn files_that_no_measurement_writes_are_refused() {
        let good = row(Operation::Ring, 2, 10, 1.0);
        let broken = [
            ExchangeRow {
                ranks: 1,
                ..good.clone()
            },
            ExchangeRow {
                numbers: 0,
                ..good.clone()
            },
            ExchangeRow {
                seconds: f64::NAN,
                ..good.clone()
            },
            ExchangeRow {
                low: 0.0,
                ..good.clone()
            },
            ExchangeRow {
                high: f64::INFINITY,
                ..good.clone()
            },
            ExchangeRow {
                low: 2.0,
                ..good.clone()
            },
            ExchangeRow {
                n: 0,
                ..good.clone()
            },
        ];
        for row in broken {
            let said = measured(vec![good.clone(), row.clone()]).check();
            assert!(
                matches!(said, Err(NoExchange::Row { row: 2, .. })),
                "{row:?}"
            );
        }
        assert!(measured(vec![good.clone(), good.clone()]).check().is_err());
        assert!(measured(Vec::new()).check().is_err());
        let later = ExchangeMeasurement {
            version: 2,
            ..measured(vec![good])
        };
        assert_eq!(later.check(), Err(NoExchange::Version { found: 2 }));
    }

    #[test]
    fn a_measurement_is_read_as_it_was_written() {
        let of = measured(vec![row(Operation::OnePeer, 2, 1000, 1.25e-5)]);
        let text = serde_json::to_string(&of).unwrap();
        assert!(text.contains(r#""operation":"one_peer""#) && text.contains(r#""version":1"#));
        assert_eq!(
            serde_json::from_str::<ExchangeMeasurement>(&text).unwrap(),
            of
        );
    }

    proptest! {
        /// Between two sizes the time lies between their times; a power law is met to rounding.
        #[test]
        fn readings_stay_between(
            small in 1u64..1_000_000, more in 2u64..1_000_000, part in 0.0..1.0f64,
            low in 1e-7..1.0f64, high in 1e-7..1.0f64,
        ) {
            let large = small + more;
            let of = measured(vec![
                row(Operation::AllReduce, 4, small, low),
                row(Operation::AllReduce, 4, large, high),
            ]);
            let numbers = small + (part * more as f64) as u64;
            let (time, _) = seconds(&of, numbers).unwrap();
            let (least, most) = (low.min(high), low.max(high));
            prop_assert!(time >= least * (1.0 - 1e-9) && time <= most * (1.0 + 1e-9));
        }
    }
}
