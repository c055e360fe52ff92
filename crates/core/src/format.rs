//! The one place where numbers become text: figures, tables, prose, logs and the terminal all use it.
//!
//! A number and its unit are joined by a no-break space; [`plain`] makes it an ordinary one, for text
//! that is not broken into lines by a reader's program.

use crate::{Estimate, EstimateState};

/// Three significant digits; whole numbers from 100 on, grouped by commas from 10,000 on.
///
/// ```
/// use batchscope_core::format::number;
/// assert_eq!(number(0.0301), "0.0301");
/// assert_eq!(number(12.345), "12.3");
/// assert_eq!(number(12345.6), "12,346");
/// assert_eq!(number(2.5e-5), "2.5e-5");
/// assert_eq!(number(f64::NAN), "not a number");
/// ```
pub fn number(x: f64) -> String {
    let magnitude = x.abs();
    if x.is_nan() {
        "not a number".to_owned()
    } else if x.is_infinite() {
        if x > 0.0 {
            "infinite".to_owned()
        } else {
            "−infinite".to_owned()
        }
    } else if magnitude == 0.0 {
        "0".to_owned()
    } else if (99.95..1e9).contains(&magnitude) {
        group(x)
    } else if (1e-3..99.95).contains(&magnitude) {
        let decimals = (2 - magnitude.log10().floor() as i32).max(0) as usize;
        minus(trim_zeros(format!("{x:.decimals$}")))
    } else {
        let text = format!("{x:.2e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        minus(format!("{}e{exponent}", trim_zeros(mantissa.to_owned())))
    }
}

fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

fn trim_zeros(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A whole number with commas from five digits on.
fn group(x: f64) -> String {
    let digits = commas(&format!("{:.0}", x.abs()));
    if x < 0.0 {
        format!("−{digits}")
    } else {
        digits
    }
}

/// A count, exactly.
pub fn count(n: u64) -> String {
    commas(&n.to_string())
}

/// Digits with commas between the thousands, where there are five or more.
fn commas(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if digits.len() > 4 && i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A ratio: `3.1×`.
pub fn times(x: f64) -> String {
    let rounded = if x.is_finite() && (0.1..10.0).contains(&x) {
        (x * 10.0).round() / 10.0
    } else {
        x
    };
    let rounded = if (rounded - 1.0).abs() < 1e-9 && (x - 1.0).abs() > 5e-3 {
        (x * 100.0).round() / 100.0
    } else {
        rounded
    };
    format!("{}×", number(rounded))
}

/// A value in a log or a list, with four decimals, so that lines are compared at a glance; as
/// [`number`] where these would say too little.
///
/// ```
/// use batchscope_core::format::fixed;
/// assert_eq!([fixed(2.3), fixed(0.98765), fixed(1.2e-5)], ["2.3000", "0.9877", "1.2e-5"]);
/// ```
pub fn fixed(x: f64) -> String {
    match (1e-3..1e4).contains(&x.abs()) {
        true => minus(format!("{x:.4}")),
        false => number(x),
    }
}

/// A p-value: `= 0.031`, `< 0.001`.
pub fn p_value(p: f64) -> String {
    match p < 0.001 {
        true => "< 0.001".to_owned(),
        false => format!("= {p:.3}"),
    }
}

/// The text with ordinary spaces in place of no-break ones, for logs, JSON and whatever is searched.
pub fn plain(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

/// A fraction in per cent: `1.2 %`, with a no-break space.
pub fn percent(fraction: f64) -> String {
    format!("{}\u{a0}%", number(fraction * 100.0))
}

/// A length of time in the units people use for it; two at most.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        number(seconds)
    } else if seconds == 0.0 {
        "0\u{a0}s".to_owned()
    } else if seconds < 1e-3 {
        format!("{}\u{a0}µs", number(seconds * 1e6))
    } else if seconds < 1.0 {
        format!("{}\u{a0}ms", number(seconds * 1e3))
    } else if seconds < 119.5 {
        format!("{}\u{a0}s", number(seconds))
    } else if seconds < 7170.0 {
        let (minutes, rest) = carry(seconds, 60.0);
        pair(minutes, "min", rest, "s")
    } else if seconds < 48.0 * 3600.0 {
        let (hours, rest) = carry(seconds / 60.0, 60.0);
        pair(hours, "h", rest, "min")
    } else {
        let (days, rest) = carry(seconds / 3600.0, 24.0);
        pair(days, "d", rest, "h")
    }
}

/// [`duration`] of a time rounded to two significant digits, for one that is known no better.
///
/// ```
/// use batchscope_core::format::{plain, rough_duration};
/// assert_eq!([plain(&rough_duration(0.03814)), plain(&rough_duration(2.249))], ["38 ms", "2.2 s"]);
/// ```
pub fn rough_duration(seconds: f64) -> String {
    // Through text: the nearest number to the decimal.
    duration(format!("{seconds:.1e}").parse().unwrap_or(seconds))
}

/// The shortest text that reads back as this number; very large and very small ones with an exponent.
///
/// ```
/// use batchscope_core::format::exact;
/// assert_eq!([exact(0.03), exact(1e300), exact(2.5e-9)], ["0.03", "1e300", "2.5e-9"]);
/// ```
pub fn exact(x: f64) -> String {
    match x == 0.0 || (1e-5..1e16).contains(&x.abs()) {
        true => format!("{x}"),
        false => format!("{x:e}"),
    }
}

fn carry(amount: f64, base: f64) -> (f64, f64) {
    let amount = amount.round();
    ((amount / base).floor(), amount % base)
}

fn pair(large: f64, large_unit: &str, small: f64, small_unit: &str) -> String {
    let large = format!("{}\u{a0}{large_unit}", number(large));
    match small {
        0.0 => large,
        small => format!("{large} {small:.0}\u{a0}{small_unit}"),
    }
}

/// Bytes in binary units.
pub fn bytes(n: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = n as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{}\u{a0}{}", number(size), units[unit])
}

/// An estimate in full: `620 (95 % interval 480–810)`, `at least 2048`, `undefined`.
pub fn estimate(e: &Estimate) -> String {
    estimate_as(e, number)
}

/// [`estimate`] with another way to write its numbers, such as [`duration`].
pub fn estimate_as(e: &Estimate, write: impl Fn(f64) -> String) -> String {
    state_words(e, &write, |low, high| match e.level >= 1.0 {
        // Bounds that hold for certain are no interval of chance.
        true if low == high => String::new(),
        true => format!(" (between {low} and {high})"),
        false => format!(
            " ({:.0}\u{a0}% interval {})",
            e.level * 100.0,
            range(low, high)
        ),
    })
}

/// An estimate for a table or a label: `620 (480–810)`, `≥ 2048`, `≤ 12`, `undefined`.
pub fn estimate_short(e: &Estimate) -> String {
    estimate_short_as(e, number)
}

/// [`estimate_short`] with another way to write its numbers.
pub fn estimate_short_as(e: &Estimate, write: impl Fn(f64) -> String) -> String {
    let text = state_words(e, &write, |low, high| format!(" ({})", range(low, high)));
    text.replacen("at least ", "≥\u{a0}", 1)
        .replacen("at most ", "≤\u{a0}", 1)
}

/// The value of an estimate without its interval: `620`, `at least 2048`, `undefined`.
pub fn estimate_value(e: &Estimate) -> String {
    state_words(e, &number, |_, _| String::new())
}

/// `480–810`; a minus sign beside a dash is hard to read: `−3 to 5`.
fn range(low: &str, high: &str) -> String {
    match low.starts_with('−') || high.starts_with('−') {
        true => format!("{low} to {high}"),
        false => format!("{low}–{high}"),
    }
}

fn state_words(
    e: &Estimate,
    write: &impl Fn(f64) -> String,
    interval: impl Fn(&str, &str) -> String,
) -> String {
    let Some(value) = e.value.filter(|v| v.is_finite()) else {
        return "undefined".to_owned();
    };
    match e.state {
        EstimateState::AtLeast => format!("at least {}", write(value)),
        EstimateState::AtMost => format!("at most {}", write(value)),
        EstimateState::Undefined => "undefined".to_owned(),
        EstimateState::Estimated => {
            let mut text = write(value);
            let end = |x: Option<f64>| {
                x.filter(|x| x.is_finite())
                    .map_or_else(|| "open".to_owned(), write)
            };
            // An interval without width, or open at both ends, is none.
            if e.low != e.high {
                let (low, high) = (end(e.low), end(e.high));
                text.push_str(&interval(without_unit_of(&low, &high), &high));
            }
            text
        }
    }
}

/// The lower end of an interval without its unit where the upper end has the same one:
/// `2.08–2.43 s`, `13–15×`.
fn without_unit_of<'a>(low: &'a str, high: &str) -> &'a str {
    let unit = |text: &str| match text.split_once('\u{a0}') {
        Some((_, unit)) => text.len() - unit.len() - '\u{a0}'.len_utf8(),
        None => text.trim_end_matches('×').len(),
    };
    let (a, b) = (unit(low), unit(high));
    if low[a..] == high[b..] {
        &low[..a]
    } else {
        low
    }
}

/// A line of JSON with the numbers that JSON does not have, `NaN`, `Infinity` and `-Infinity` as Python writes them,
/// as words in quotes.
///
/// ```
/// use batchscope_core::format::json_words;
/// assert_eq!(json_words(r#"{"a": NaN, "NaN": [-Infinity]}"#), r#"{"a": "nan", "NaN": ["-inf"]}"#);
/// ```
pub fn json_words(line: &str) -> String {
    const WORDS: [(&str, &str); 3] = [
        ("NaN", "\"nan\""),
        ("-Infinity", "\"-inf\""),
        ("Infinity", "\"inf\""),
    ];
    let (mut out, mut rest, mut quoted) = (String::with_capacity(line.len()), line, false);
    while let Some(next) = rest.chars().next() {
        let word = WORDS
            .iter()
            .find(|(word, _)| !quoted && rest.starts_with(word));
        if let Some((word, text)) = word {
            out.push_str(text);
            rest = &rest[word.len()..];
            continue;
        }
        // A quote that is escaped within a text does not end it.
        if quoted && next == '\\' {
            let escaped: String = rest.chars().take(2).collect();
            out.push_str(&escaped);
            rest = &rest[escaped.len()..];
            continue;
        }
        quoted ^= next == '"';
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry() {
        for (seconds, text) in [
            (0.0021, "2.1\u{a0}ms"),
            (59.94, "59.9\u{a0}s"),
            (119.9, "2\u{a0}min"),
            (200.4, "3\u{a0}min 20\u{a0}s"),
            (3599.7, "60\u{a0}min"),
            (7800.0, "2\u{a0}h 10\u{a0}min"),
            (200_000.0, "2\u{a0}d 8\u{a0}h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn estimates_are_said_with_their_state() {
        let e = Estimate::estimated(620.4, 480.2, 1810.0, 0.95, 45);
        assert_eq!(plain(&estimate(&e)), e.to_string());
        assert_eq!(estimate_short(&e), "620 (480–1810)");
        assert_eq!(
            estimate_short(&Estimate::at_least(2048.0, 0.95, 9, "no bend")),
            "≥\u{a0}2048"
        );
        assert_eq!(
            estimate(&Estimate::undefined(0.95, 0, "nothing")),
            "undefined"
        );
        let time = Estimate::estimated(2.25, 2.08, 2.43, 0.95, 3);
        assert_eq!(
            estimate_short_as(&time, duration),
            "2.25\u{a0}s (2.08–2.43\u{a0}s)"
        );
        assert_eq!(
            estimate_short_as(&time.scaled(40.0), duration),
            "90\u{a0}s (83.2–97.2\u{a0}s)"
        );
        assert_eq!(estimate_short_as(&time.scaled(4.0), times), "9× (8.3–9.7×)");
        let open = Estimate { high: None, ..e };
        assert_eq!(estimate_short(&open), "620 (480–open)");
        let negative = Estimate::estimated(1.0, -3.0, 5.0, 0.95, 3);
        assert_eq!(estimate_short(&negative), "1 (−3 to 5)");
    }

    #[test]
    fn ratios_near_one_keep_what_differs() {
        assert_eq!(
            [3.1, 1.0, 1.02, 25.3, 0.43].map(times),
            ["3.1×", "1×", "1.02×", "25.3×", "0.4×"]
        );
    }
}
