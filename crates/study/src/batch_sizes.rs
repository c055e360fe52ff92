//! Lists of batch sizes as people type them.

use batchscope_core::SettingError;

/// More batch sizes than any study trains; a guard against ranges typed by mistake.
const MOST: usize = 64;

/// Reads a list of batch sizes: a range `8..2048` of doublings from its start, both ends included
/// when the last doubling meets the end; a range with another ratio, `8..2048:x4`; a plain list
/// `8,24,96`; or several of these joined by commas. The result is increasing, without repetition.
///
/// ```
/// use batchscope_study::parse_batch_sizes;
/// assert_eq!(parse_batch_sizes("8..64").unwrap(), [8, 16, 32, 64]);
/// assert_eq!(parse_batch_sizes("8..512:x4").unwrap(), [8, 32, 128, 512]);
/// assert_eq!(parse_batch_sizes("24,8,16..32").unwrap(), [8, 16, 24, 32]);
/// ```
///
/// # Errors
/// When the text is none of these, a size is 0, a ratio is not above 1, a range runs backwards or
/// there would be more than 64 sizes.
pub fn parse_batch_sizes(text: &str) -> Result<Vec<u64>, SettingError> {
    let mut sizes = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once("..") {
            None => sizes.push(size(part)?),
            Some((from, rest)) => {
                let (to, ratio) = match rest.split_once(':') {
                    None => (rest, 2.0),
                    Some((to, ratio)) => (to, parse_ratio(ratio)?),
                };
                range(size(from)?, size(to)?, ratio, &mut sizes)?;
            }
        }
        if sizes.len() > MOST {
            return Err(wrong(format!(
                "'{text}' gives more than {MOST} batch sizes: use a larger ratio, such as 8..2048:x4"
            )));
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    Ok(sizes)
}

fn range(from: u64, to: u64, ratio: f64, sizes: &mut Vec<u64>) -> Result<(), SettingError> {
    if from > to {
        return Err(wrong(format!(
            "the range {from}..{to} runs backwards: write {to}..{from}"
        )));
    }
    let mut exact = from as f64;
    let mut last = 0;
    while exact.round() as u64 <= to && sizes.len() <= MOST {
        let rounded = exact.round() as u64;
        if rounded > last {
            sizes.push(rounded);
            last = rounded;
        }
        // A ratio near 1 must still advance by whole examples.
        exact = (exact * ratio).max(rounded as f64 + 1.0);
    }
    Ok(())
}

fn size(text: &str) -> Result<u64, SettingError> {
    match text.trim().parse() {
        Ok(0) => Err(wrong(
            "a batch size of 0 trains nothing: start at 1 or above".to_owned(),
        )),
        Ok(size) if size < 1 << crate::identity::BATCH_BITS => Ok(size),
        Ok(size) => Err(wrong(format!(
            "{size} examples per step are more than any training set holds"
        ))),
        Err(_) => Err(wrong(format!(
            "'{text}' is not a batch size: write 8..2048, 8..2048:x4 or 8,24,96"
        ))),
    }
}

fn parse_ratio(text: &str) -> Result<f64, SettingError> {
    let digits = text.trim().strip_prefix('x').unwrap_or(text.trim());
    match digits.parse::<f64>() {
        Ok(ratio) if ratio.is_finite() && ratio > 1.0 => Ok(ratio),
        _ => Err(wrong(format!(
            "'{text}' is not a ratio between batch sizes: write a number above 1, such as x4"
        ))),
    }
}

fn wrong(why: String) -> SettingError {
    SettingError::new("batch-sizes", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_at_or_below_their_end() {
        assert_eq!(parse_batch_sizes("8..2048").unwrap().len(), 9);
        assert_eq!(parse_batch_sizes("10..100:3").unwrap(), [10, 30, 90]);
        assert_eq!(parse_batch_sizes("1..5:x1.01").unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(parse_batch_sizes(" 7 ").unwrap(), [7]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in [
            "",
            "0",
            "8..",
            "..8",
            "16..8",
            "8..64:x1",
            "8..64:x-2",
            "8..64:xinf",
            "a",
            "1..9999999:x1.001",
            "8,,9",
            "99999999999999999999",
        ] {
            let error = parse_batch_sizes(text).unwrap_err();
            assert_eq!(error.key, "batch-sizes", "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_sorted_sizes_or_an_error(text in "[0-9.,:x]{0,24}") {
            if let Ok(sizes) = parse_batch_sizes(&text) {
                assert!(!sizes.is_empty() && sizes[0] > 0 && sizes.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }
}
