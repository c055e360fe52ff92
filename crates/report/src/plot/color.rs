//! Colors: eight categories, two themes, one ramp; and the style sheet every drawing shares.

/// Names and values of the colors, light then dark.
///
/// `c0`–`c6` are the categories of Okabe and Ito 2008 ("Color Universal Design"), blue first; the
/// dark theme lightens those that would sink. `t0`–`t6` are the same hues at a contrast of 4.5 to
/// the ground, for text.
pub(crate) const COLORS: [(&str, &str, &str); 25] = [
    ("bg", "#ffffff", "#14171c"),
    ("ink", "#1a1c20", "#e8eaed"),
    ("muted", "#5c6370", "#a3abb8"),
    ("axis", "#8a919c", "#767e8b"),
    ("grid", "#e6e8ec", "#2a2f38"),
    ("ideal", "#9aa1ab", "#7d8592"),
    ("shade1", "#f4f6f9", "#1a1e25"),
    ("shade2", "#e9edf2", "#222833"),
    ("hatchbg", "#ededf0", "#2b2f37"),
    ("hatchink", "#8a8f99", "#8b929e"),
    ("focus", "#005fcc", "#8ab8ff"),
    ("c0", "#0072b2", "#4ba3dc"),
    ("c1", "#d55e00", "#ee7a25"),
    ("c2", "#009e73", "#23b98c"),
    ("c3", "#cc79a7", "#d88fb8"),
    ("c4", "#e69f00", "#e8ab26"),
    ("c5", "#56b4e9", "#7cc6f0"),
    ("c6", "#3c3f45", "#c9cdd4"),
    ("t0", "#006aa6", "#62b2e6"),
    ("t1", "#b34c00", "#f58b40"),
    ("t2", "#007a59", "#34c799"),
    ("t3", "#a3487c", "#e09cc2"),
    ("t4", "#8a6000", "#ebb440"),
    ("t5", "#1f75a8", "#8acdf3"),
    ("t6", "#3c3f45", "#c9cdd4"),
];

/// Number of category colors and marker shapes.
pub(crate) const CATEGORIES: usize = 7;

/// The style of all drawings, in terms of the named colors.
const STYLE: &str = include_str!("figure.css");

/// The shared style with `var(--name)` left for the page to define; categories written out.
pub(crate) fn page_style() -> String {
    let mut css = STYLE.to_owned();
    for k in 0..CATEGORIES {
        css.push_str(&format!(
            ".l{k}{{stroke:var(--c{k})}}.p{k}{{fill:var(--c{k});stroke:var(--bg)}}\
             .o{k}{{stroke:var(--c{k});fill:var(--bg)}}.b{k}{{fill:var(--c{k})}}.fig .n{k}{{fill:var(--t{k})}}\n"
        ));
    }
    css
}

/// The shared style with the light colors written in, for files and renderers without variables.
pub(crate) fn standalone_style() -> String {
    COLORS.iter().fold(page_style(), |css, (name, light, _)| {
        css.replace(&format!("var(--{name})"), light)
    })
}

/// Definitions of the page's colors, one theme each.
pub(crate) fn variables(dark: bool) -> String {
    COLORS
        .iter()
        .map(|(name, light, night)| format!("--{name}:{};", if dark { night } else { light }))
        .collect()
}

/// The category of a curve, the same in every figure: fixed for the names of the main study,
/// by order of appearance for others.
pub(crate) fn category(rule: &str, rules: &[&str]) -> usize {
    const FIXED: [&str; 4] = ["tuned", "blr", "lsr", "srsr"];
    let fixed = |name: &str| FIXED.iter().position(|f| f.eq_ignore_ascii_case(name));
    // Where none of these is drawn their colors are free.
    let taken = match rules.iter().any(|r| fixed(r).is_some()) {
        true => FIXED.len(),
        false => 0,
    };
    fixed(rule).unwrap_or_else(|| {
        let others = rules.iter().filter(|r| fixed(r).is_none());
        let place = others.clone().position(|r| *r == rule).unwrap_or(0);
        // Last, the colors of those that are not drawn.
        let drawn = |k: &usize| rules.iter().any(|r| fixed(r) == Some(*k));
        let free = (taken..CATEGORIES).chain((0..taken).filter(|k| !drawn(k)));
        let free: Vec<usize> = free.collect();
        free[place % free.len()]
    })
}

/// Viridis (van der Walt and Smith 2015, matplotlib 1.5, CC0) at nine evenly spaced places.
const VIRIDIS: [[u8; 3]; 9] = [
    [0x44, 0x01, 0x54],
    [0x47, 0x2d, 0x7b],
    [0x3b, 0x52, 0x8b],
    [0x2c, 0x72, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x28, 0xae, 0x80],
    [0x5e, 0xc9, 0x62],
    [0xad, 0xdc, 0x30],
    [0xfd, 0xe7, 0x25],
];

/// The ramp at `part` in 0..1 (held inside), as `#rrggbb`.
pub(crate) fn viridis(part: f64) -> String {
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    } * (VIRIDIS.len() - 1) as f64;
    let below = (part.floor() as usize).min(VIRIDIS.len() - 2);
    let share = part - below as f64;
    let mix = |i: usize| {
        let (a, b) = (
            f64::from(VIRIDIS[below][i]),
            f64::from(VIRIDIS[below + 1][i]),
        );
        (a + (b - a) * share).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(hex: &str) -> f64 {
        let channel = |i: usize| {
            let c = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
            if c <= 0.03928 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// WCAG 2.2: 4.5 for text (1.4.3) in both themes, 3 for the lines that carry data (1.4.11),
    /// where Okabe and Ito's light colors keep their published values and markers differ as well.
    #[test]
    fn text_has_contrast_in_both_themes() {
        let find = |wanted: &str| COLORS.iter().find(|(name, ..)| *name == wanted).unwrap();
        let (_, light, dark) = find("bg");
        for (name, l, d) in COLORS {
            if name.starts_with('t') || name == "ink" || name == "muted" {
                assert!(
                    contrast(l, light) >= 4.5 && contrast(d, dark) >= 4.5,
                    "{name}"
                );
            }
            if name.starts_with('c') {
                assert!(contrast(d, dark) >= 3.0, "{name}");
            }
        }
    }

    #[test]
    fn a_rule_keeps_its_category() {
        let rules = ["srsr", "legw", "tuned", "own"];
        assert_eq!(rules.map(|r| category(r, &rules)), [3, 4, 0, 5]);
        assert_eq!(category("LSR", &[]), 2);
    }

    #[test]
    fn the_ramp_meets_its_ends() {
        assert_eq!(
            [viridis(0.0), viridis(1.0), viridis(9.0), viridis(f64::NAN)],
            ["#440154", "#fde725", "#fde725", "#440154"]
        );
    }

    #[test]
    fn a_file_of_its_own_needs_no_variables() {
        assert!(!standalone_style().contains("var("));
    }
}
