//! A canvas that writes SVG: classes instead of colors, text as text, never a number that is not
//! finite, every string escaped.

use std::fmt::Write as _;

/// How a drawing will be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Inside the report: colors come from the page, marks link to the trials' rows.
    Inline,
    /// A file of its own: colors are written in, nothing links.
    Standalone,
}

/// Where text sits relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Begins there.
    Start,
    /// Centered there.
    Middle,
    /// Ends there.
    End,
}

/// Widths of the printable ASCII characters of DejaVu Sans 2.37, in hundredths of an em, rounded
/// up. It is as wide as the widest common interface font (on a bare Linux it *is* that font), so
/// what is placed by it overlaps in none.
const WIDTHS: [u8; 95] = [
    32, 41, 46, 84, 64, 96, 78, 28, 40, 40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75,
    79, 61, 79, 70, 64, 62, 74, 69, 99, 69, 62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36,
    64, 64, 28, 28, 58, 28, 98, 64, 62, 64, 64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84,
];

/// How much wider bold letters are than the regular ones that are measured.
pub(crate) const BOLD: f64 = 1.13;

/// Width of a text in the units of its `size`.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let hundredths: f64 = text
        .chars()
        .map(|c| match c {
            ' '..='~' => f64::from(WIDTHS[c as usize - 32]),
            '–' => 50.0,
            '·' | '\u{a0}' | '\u{202f}' => 32.0,
            '—' | '…' => 100.0,
            _ => 84.0,
        })
        .sum();
    hundredths / 100.0 * size
}

/// Breaks a text into lines no wider than `width`: at spaces, and in a word that is wider by itself
/// after the signs that join a name's parts. What has neither stays wider.
pub(crate) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let pieces: Vec<&str> = match text_width(word, size) <= width {
            true => vec![word],
            false => word.split_inclusive(['+', ',', '(', '=', '/']).collect(),
        };
        for (i, piece) in pieces.into_iter().enumerate() {
            let gap = if i == 0 { " " } else { "" };
            match lines.last_mut() {
                Some(line)
                    if text_width(line, size) + text_width(gap, size) + text_width(piece, size)
                        <= width =>
                {
                    line.push_str(gap);
                    line.push_str(piece);
                }
                _ => lines.push(piece.to_owned()),
            }
        }
    }
    lines
}

/// Escapes text for element content and quoted attributes of XML and HTML; characters XML 1.0
/// forbids become the replacement character.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(c),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate to a tenth of a pixel.
pub(crate) fn coordinate(x: f64) -> String {
    let text = format!("{x:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// A path through finite points; a gap begins a new piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path {
    data: String,
    drawing: bool,
}

impl Path {
    /// A line through the points.
    pub(crate) fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = Path::default();
        points.into_iter().for_each(|(x, y)| path.to(x, y));
        path
    }

    /// Goes on to a point; one that is not finite leaves a gap.
    pub(crate) fn to(&mut self, x: f64, y: f64) {
        if !(x.is_finite() && y.is_finite()) {
            self.drawing = false;
            return;
        }
        let _ = write!(
            self.data,
            "{}{} {}",
            if self.drawing { 'L' } else { 'M' },
            coordinate(x),
            coordinate(y)
        );
        self.drawing = true;
    }

    /// Begins a new piece at the next point.
    pub(crate) fn lift(&mut self) {
        self.drawing = false;
    }

    /// The `d` attribute.
    pub(crate) fn data(&self) -> &str {
        &self.data
    }

    /// Closes the current piece.
    pub(crate) fn close(&mut self) {
        if self.drawing {
            self.data.push('Z');
        }
        self.drawing = false;
    }
}

/// A drawing in progress.
#[derive(Debug)]
pub(crate) struct Canvas {
    /// Width in pixels; everything is laid out for it.
    pub width: f64,
    /// Height in pixels, set by whoever draws.
    pub height: f64,
    /// What it is for.
    pub mode: Mode,
    /// Prefix of the ids in it, unique on the page.
    pub id: String,
    body: String,
}

impl Canvas {
    /// An empty drawing.
    pub(crate) fn new(width: f64, mode: Mode, id: String) -> Self {
        Self {
            width,
            height: 0.0,
            mode,
            id,
            body: String::new(),
        }
    }

    /// True for the layout of a phone.
    pub(crate) fn narrow(&self) -> bool {
        self.width < 480.0
    }

    /// What was drawn so far.
    pub(crate) fn into_body(self) -> String {
        self.body
    }

    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &Path::through([from, to]));
    }

    /// A path, unless it is empty.
    pub(crate) fn path(&mut self, class: &str, path: &Path) {
        if !path.data.is_empty() {
            let _ = write!(self.body, "<path class=\"{class}\" d=\"{}\"/>", path.data);
        }
    }

    /// A rectangle by two corners, in the class's color.
    pub(crate) fn rect(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.rect_with(&format!("class=\"{class}\""), from, to);
    }

    /// A rectangle of a literal color `#rrggbb`, without a seam to the next.
    pub(crate) fn cell(&mut self, color: &str, from: (f64, f64), to: (f64, f64)) {
        let look = format!("fill=\"{color}\" shape-rendering=\"crispEdges\"");
        self.rect_with(&look, from, to);
    }

    /// A rectangle filled by a pattern of this drawing.
    pub(crate) fn patterned(&mut self, pattern: &str, from: (f64, f64), to: (f64, f64)) {
        let fill = format!("fill=\"url(#{}-{pattern})\"", self.id);
        self.rect_with(&fill, from, to);
    }

    fn rect_with(&mut self, attributes: &str, from: (f64, f64), to: (f64, f64)) {
        let (x, y) = (from.0.min(to.0), from.1.min(to.1));
        let (w, h) = ((from.0 - to.0).abs(), (from.1 - to.1).abs());
        if [x, y, w, h].iter().all(|v| v.is_finite()) && w > 0.0 && h > 0.0 {
            let [x, y, w, h] = [x, y, w, h].map(coordinate);
            let _ = write!(
                self.body,
                "<rect {attributes} x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/>"
            );
        }
    }

    /// A line of text.
    pub(crate) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        if text.is_empty() || !(at.0.is_finite() && at.1.is_finite()) {
            return;
        }
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y) = (coordinate(at.0), coordinate(at.1));
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{}</text>",
            escape(text)
        );
    }

    /// A mark with a value: hovering or focusing it shows `tip`; with a trial's number it links to
    /// the trial's row of the report.
    pub(crate) fn mark(&mut self, tip: &str, trial: Option<u64>, draw: impl FnOnce(&mut Self)) {
        let link = trial.filter(|_| self.mode == Mode::Inline);
        match link {
            Some(trial) => {
                let _ = write!(self.body, "<a class=\"m\" href=\"#trial-{trial}\">");
            }
            None => self.body.push_str("<g class=\"m\">"),
        }
        let _ = write!(self.body, "<title>{}</title>", escape(tip));
        draw(self);
        self.body
            .push_str(if link.is_some() { "</a>" } else { "</g>" });
    }

    /// Draws inside a clipping rectangle named `name`.
    pub(crate) fn clipped(
        &mut self,
        name: &str,
        from: (f64, f64),
        to: (f64, f64),
        draw: impl FnOnce(&mut Self),
    ) {
        let id = format!("{}-{name}", self.id);
        let _ = write!(self.body, "<clipPath id=\"{id}\">");
        self.rect_with("", from, to);
        let _ = write!(self.body, "</clipPath><g clip-path=\"url(#{id})\">");
        draw(self);
        self.body.push_str("</g>");
    }

    /// Defines the diagonal hatching called `hatch` of this drawing.
    pub(crate) fn define_hatch(&mut self) {
        let _ = write!(
            self.body,
            "<defs><pattern id=\"{}-hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect class=\"hatch-bg\" width=\"5\" height=\"5\"/>\
             <rect class=\"hatch\" width=\"1.4\" height=\"5\"/></pattern></defs>",
            self.id
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_not_drawn() {
        let mut canvas = Canvas::new(100.0, Mode::Inline, "t".into());
        canvas.line("a", (0.0, f64::NAN), (1.0, f64::INFINITY));
        canvas.rect("a", (0.0, 0.0), (f64::NAN, 1.0));
        canvas.text("a", (f64::NAN, 0.0), Anchor::Start, "x");
        assert_eq!(canvas.into_body(), "");
        let path = Path::through([(0.0, 0.0), (f64::NAN, 1.0), (2.0, 2.0), (3.0, 3.04)]);
        assert_eq!(path.data, "M0 0M2 2L3 3");
    }

    #[test]
    fn hostile_text_is_inert() {
        assert_eq!(
            escape("<a href='x'>&\"\u{0}"),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}"
        );
    }

    #[test]
    fn lines_are_no_wider_than_asked() {
        let lines = wrap("Speed-up is linear to 256 and flat after 2048", 12.0, 120.0);
        assert!(lines.len() > 1 && lines.iter().all(|l| text_width(l, 12.0) <= 120.0));
        assert_eq!(
            lines.join(" "),
            "Speed-up is linear to 256 and flat after 2048"
        );
        let name = "sgd+tuned+dmsgd(graph=symmetric-exponential,dirichlet=0.1)";
        let lines = wrap(name, 12.0, 200.0);
        assert!(lines.len() > 1 && lines.iter().all(|l| text_width(l, 12.0) <= 200.0));
        assert_eq!(lines.concat(), name);
    }
}
