//! Cells as numbers.

use std::path::Path;

use crate::error::DataError;

/// What stands for a missing value.
const MISSING: [&str; 9] = ["", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-"];

/// True for what people and programs write where a value is missing.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// True for a number, with a decimal comma too where `comma` allows it.
pub(super) fn is_number(cell: &str, comma: bool) -> bool {
    cell.parse::<f64>().is_ok()
        || comma && with_point(cell).is_some_and(|x| x.parse::<f64>().is_ok())
}

/// A cell with its one decimal comma as a point.
fn with_point(cell: &str) -> Option<String> {
    let (whole, part) = cell.split_once(',')?;
    let digit = part.as_bytes().first().is_some_and(u8::is_ascii_digit);
    (digit && !part.contains(',') && !cell.contains('.')).then(|| format!("{whole}.{part}"))
}

/// The number in a cell with a decimal point. Rounded to single precision it is what reading in single
/// precision would give: rounding twice may differ from rounding once.
fn number(cell: &str) -> Option<f64> {
    let x: f64 = cell.parse().ok()?;
    let tie = x.to_bits() & 0x1fff_ffff == 0x1000_0000;
    let small = x != 0.0 && x.abs() < f64::from(f32::MIN_POSITIVE);
    if tie || small {
        let (once, twice) = (f64::from(cell.parse::<f32>().ok()?), f64::from(x as f32));
        return Some(match once.total_cmp(&twice) {
            std::cmp::Ordering::Less => x.next_down(),
            std::cmp::Ordering::Equal => x,
            std::cmp::Ordering::Greater => x.next_up(),
        });
    }
    Some(x)
}

/// The decimal mark of a table, found out cell by cell.
#[derive(Debug, Clone)]
pub(super) struct Decimals {
    /// Whether a comma may be one: it separates no cells.
    comma_allowed: bool,
    /// The first line with a decimal point, and the first with a decimal comma and that cell.
    point: Option<u64>,
    comma: Option<(u64, String)>,
}

impl Decimals {
    pub(super) fn new(comma_allowed: bool) -> Self {
        Self {
            comma_allowed,
            point: None,
            comma: None,
        }
    }

    /// The number in a cell, if it is one.
    pub(super) fn read(&mut self, cell: &str, line: u64) -> Option<f64> {
        if let Some(x) = number(cell) {
            if self.comma_allowed && self.point.is_none() && cell.contains('.') {
                self.point = Some(line);
            }
            return Some(x);
        }
        if !self.comma_allowed {
            return None;
        }
        let x = number(&with_point(cell)?)?;
        self.comma.get_or_insert_with(|| (line, cell.to_owned()));
        Some(x)
    }

    /// Refuses a table with both marks: one of them might separate thousands.
    pub(super) fn check(&self, file: &Path) -> Result<(), DataError> {
        match (&self.point, &self.comma) {
            (Some(point), Some((comma, cell))) => Err(DataError::malformed(
                file,
                format!(
                    "line {comma} has a decimal comma ('{cell}'), line {point} a decimal point: one of \
                     them may separate thousands"
                ),
                "write all numbers with the same decimal mark and without separators of thousands",
            )),
            _ => Ok(()),
        }
    }

    /// What was taken for the decimal mark, where there was a choice.
    pub(super) fn said(&self) -> Option<String> {
        match (&self.point, &self.comma) {
            (_, Some((_, cell))) => Some(format!("comma ('{cell}')")),
            (Some(_), None) => Some("point".to_owned()),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 + 2⁻²⁴ lies between two neighbors in single precision; a digit far behind decides, which
    /// double precision does not hold.
    #[test]
    fn rounding_twice_is_rounding_once() {
        let above = "1.000000059604644775390625000000000000000001";
        assert_ne!(
            above.parse::<f64>().unwrap() as f32,
            above.parse::<f32>().unwrap()
        );
        for cell in [
            above,
            "1.000000059604644775390625",
            "0.1",
            "-3e-46",
            "0",
            "1e-45",
            "7",
        ] {
            assert_eq!(
                number(cell).unwrap() as f32,
                cell.parse::<f32>().unwrap(),
                "{cell}"
            );
        }
    }

    #[test]
    fn a_comma_is_decimal_once_and_before_a_digit() {
        let mut decimals = Decimals::new(true);
        assert_eq!(decimals.read("-1,5e1", 3), Some(-15.0));
        for wrong in ["1,2,3", "1,", "1.000,5", "a,5"] {
            assert_eq!(decimals.read(wrong, 4), None, "{wrong}");
        }
        assert_eq!(Decimals::new(false).read("1,5", 1), None);
        decimals.read("2.5", 9);
        let refused = decimals.check("t".as_ref()).unwrap_err().to_string();
        assert!(
            refused.contains("line 3") && refused.contains("line 9"),
            "{refused}"
        );
    }
}
