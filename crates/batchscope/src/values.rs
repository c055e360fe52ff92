//! Values with a grammar of their own: lengths, schedules, sizes in bytes, ranges.

use batchscope_core::{Decay, Length};

/// Reads `200` (steps) or `2.5ep` (epochs).
///
/// # Errors
/// What would be right, for the flag's message.
pub fn length(text: &str) -> Result<Length, String> {
    let wrong = || format!("'{text}' is not a length: write steps (200) or epochs (2.5ep)");
    let text = text.trim();
    match text
        .strip_suffix("ep")
        .or_else(|| text.strip_suffix("epochs"))
    {
        Some(epochs) => {
            let epochs: f64 = epochs.trim().parse().map_err(|_| wrong())?;
            if epochs.is_finite() && epochs >= 0.0 {
                Ok(Length::Epochs(epochs))
            } else {
                Err(wrong())
            }
        }
        None => text.parse().map(Length::Steps).map_err(|_| wrong()),
    }
}

/// Reads a decay: `constant`, `step:0.1@30ep@60ep`, `linear:90ep[:FLOOR]`, `cosine:90ep[:FLOOR]`,
/// `poly:2:90ep[:FLOOR]`.
///
/// # Errors
/// What would be right, for the flag's message.
pub fn decay(text: &str) -> Result<Decay, String> {
    let wrong = |what: &str| {
        format!(
            "'{text}' is not a schedule ({what}): write constant, step:FACTOR@LENGTH@…, linear:LENGTH, \
             cosine:LENGTH or poly:POWER:LENGTH, a length being steps (200) or epochs (30ep)"
        )
    };
    let number = |text: &str| {
        text.parse::<f64>()
            .ok()
            .filter(|x| x.is_finite())
            .ok_or_else(|| wrong(text))
    };
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let mut parts = rest.split(':').filter(|part| !part.is_empty());
    let mut next = |what: &str| parts.next().ok_or_else(|| wrong(what));
    let decay = match kind {
        "constant" => Decay::Constant,
        "step" => {
            let mut marks = next("no factor")?.split('@');
            let factor = number(marks.next().unwrap_or_default())?;
            let at = marks.map(length).collect::<Result<Vec<_>, _>>()?;
            if at.is_empty() {
                return Err(wrong("no marks"));
            }
            Decay::Step { at, factor }
        }
        "linear" => Decay::Linear {
            over: length(next("no length")?)?,
            floor: 0.0,
        },
        "cosine" => Decay::Cosine {
            over: length(next("no length")?)?,
            floor: 0.0,
        },
        "poly" | "polynomial" => {
            let power = number(next("no power")?)?;
            Decay::Polynomial {
                over: length(next("no length")?)?,
                power,
                floor: 0.0,
            }
        }
        other => return Err(wrong(&format!("unknown kind '{other}'"))),
    };
    let floor_given = parts.next().map(number).transpose()?;
    if parts.next().is_some() {
        return Err(wrong("too many parts"));
    }
    Ok(match (decay, floor_given) {
        (decay, None) => decay,
        (Decay::Linear { over, .. }, Some(floor)) => Decay::Linear { over, floor },
        (Decay::Cosine { over, .. }, Some(floor)) => Decay::Cosine { over, floor },
        (Decay::Polynomial { over, power, .. }, Some(floor)) => {
            Decay::Polynomial { over, power, floor }
        }
        (Decay::Constant | Decay::Step { .. }, Some(_)) => return Err(wrong("too many parts")),
    })
}

/// Reads a size in bytes: `512M`, `4G`, `1.5GiB`, `1000000`. K, M, G, T are powers of 1024, as memory
/// is counted, with or without `iB`.
///
/// # Errors
/// What would be right, for the flag's message.
pub fn bytes(text: &str) -> Result<f64, String> {
    let wrong =
        || format!("'{text}' is not a size: write bytes with a unit, for example 512M or 4G");
    scaled(text, 1024.0).ok_or_else(wrong)
}

/// Reads bytes a second: `12.5G`, `12.5GB/s`. K, M, G, T are powers of 1000, as links are counted.
///
/// # Errors
/// What would be right, for the flag's message.
pub fn rate(text: &str) -> Result<f64, String> {
    let wrong =
        || format!("'{text}' is not a rate: write bytes a second, for example 12.5G or 800M");
    scaled(text.trim().trim_end_matches("/s"), 1000.0).ok_or_else(wrong)
}

/// A positive number with a unit whose steps are `thousand`.
fn scaled(text: &str, thousand: f64) -> Option<f64> {
    let trimmed = text.trim().trim_end_matches('B');
    let (trimmed, thousand) = match trimmed.strip_suffix('i') {
        Some(binary) => (binary, 1024.0),
        None => (trimmed, thousand),
    };
    let (digits, unit) = match trimmed.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            (&trimmed[..at], unit.to_ascii_uppercase())
        }
        _ => (trimmed, ' '),
    };
    let power = match unit {
        ' ' => 0,
        'K' => 1,
        'M' => 2,
        'G' => 3,
        'T' => 4,
        _ => return None,
    };
    let value: f64 = digits.trim().parse().ok()?;
    (value.is_finite() && value > 0.0).then_some(value * f64::powi(thousand, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(length("200"), Ok(Length::Steps(200)));
        assert_eq!(length("2.5ep"), Ok(Length::Epochs(2.5)));
        for broken in ["", "ep", "-3", "2,5ep", "NaNep", "1e400ep"] {
            assert!(length(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn schedules() {
        assert_eq!(decay("constant"), Ok(Decay::Constant));
        assert_eq!(
            decay("step:0.1@30ep@6000"),
            Ok(Decay::Step {
                at: vec![Length::Epochs(30.0), Length::Steps(6000)],
                factor: 0.1
            })
        );
        assert_eq!(
            decay("cosine:90ep:0.01"),
            Ok(Decay::Cosine {
                over: Length::Epochs(90.0),
                floor: 0.01
            })
        );
        assert_eq!(
            decay("poly:2:100"),
            Ok(Decay::Polynomial {
                over: Length::Steps(100),
                power: 2.0,
                floor: 0.0
            })
        );
        for broken in [
            "",
            "cosine",
            "step:0.1",
            "linear:x",
            "poly:2",
            "constant:1",
            "cosine:1:0:0",
            "warm:3",
        ] {
            assert!(decay(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("512M"), Ok(512.0 * 1024.0 * 1024.0));
        assert_eq!(bytes("1.5GiB"), Ok(1.5 * 1024f64.powi(3)));
        assert_eq!(bytes("1000"), Ok(1000.0));
        assert_eq!(rate("12.5G"), Ok(12.5e9));
        assert_eq!(rate("12.5GB/s"), Ok(12.5e9));
        assert_eq!(rate("1GiB/s"), Ok(1024f64.powi(3)));
        for broken in ["", "G", "-1G", "1X", "infG", "ä"] {
            assert!(bytes(broken).is_err() && rate(broken).is_err(), "{broken}");
        }
    }
}
