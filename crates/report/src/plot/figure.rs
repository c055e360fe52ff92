//! A figure: the question it answers, the answer as its title, its drawings and its data.

use std::borrow::Cow;

use super::color::standalone_style;
use super::svg::{Anchor, BOLD, Canvas, Mode, escape, wrap};

/// Width of a figure in a column of text, and of its narrow variant, in pixels.
pub(crate) const WIDE: f64 = 660.0;
/// Width of a figure on a phone.
pub(crate) const NARROW: f64 = 328.0;

/// A chart of the report.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name of the file and of the place in the report: `speed-up`.
    pub id: Cow<'static, str>,
    /// The answer, in a sentence.
    pub title: String,
    /// How it was measured and how to read it.
    pub caption: String,
    /// The same for somebody who cannot see the drawing.
    pub description: String,
    /// The drawing in one or more ways of looking, the first being the default.
    pub views: Vec<View>,
    /// The numbers drawn, as CSV with a header.
    pub data: String,
}

/// One way of looking at a figure: `against examples`, `log–log`.
#[derive(Debug, Clone)]
pub struct View {
    /// What the switch says.
    pub name: &'static str,
    /// Added to the figure's id in file names; empty for the first view.
    pub suffix: &'static str,
    pub(crate) wide: String,
    pub(crate) narrow: String,
    standalone: (f64, String),
}

impl Figure {
    /// A figure without drawings yet.
    pub(crate) fn new(
        id: impl Into<Cow<'static, str>>,
        title: String,
        caption: String,
        description: String,
        data: String,
    ) -> Self {
        Self {
            id: id.into(),
            title,
            caption,
            description,
            views: Vec::new(),
            data,
        }
    }

    /// Adds a view by drawing it for each use.
    pub(crate) fn view(
        mut self,
        name: &'static str,
        suffix: &'static str,
        draw: impl Fn(&mut Canvas),
    ) -> Self {
        let stem = file_stem(&self.id, suffix);
        let inline = |width: f64, variant: &str| {
            let mut canvas = Canvas::new(width, Mode::Inline, format!("{stem}{variant}"));
            draw(&mut canvas);
            let (height, id) = (canvas.height, canvas.id.clone());
            format!(
                "<svg class=\"fig {}\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" height=\"{height:.0}\" \
                 role=\"graphics-document\" aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{}</title>\
                 <desc id=\"{id}-desc\">{}</desc>{}</svg>",
                if variant == "-w" { "wide" } else { "narrow" },
                escape(&self.title),
                escape(&self.description),
                canvas.into_body(),
            )
        };
        let (wide, narrow) = (inline(WIDE, "-w"), inline(NARROW, "-n"));
        let mut canvas = Canvas::new(WIDE, Mode::Standalone, stem);
        draw(&mut canvas);
        let standalone = (canvas.height, canvas.into_body());
        self.views.push(View {
            name,
            suffix,
            wide,
            narrow,
            standalone,
        });
        self
    }

    /// Stem of the files of a view: `speed-up`, `speed-up-linear`.
    pub fn file_stem(&self, view: &View) -> String {
        file_stem(&self.id, view.suffix)
    }

    /// A view as an SVG file of its own: light theme, colors written in, its title above it.
    pub fn svg(&self, view: &View) -> String {
        const MARGIN: f64 = 14.0;
        let (height, body) = &view.standalone;
        let lines = wrap(&self.title, 15.0 * BOLD, WIDE);
        let head = MARGIN + 20.0 * lines.len() as f64 + 8.0;
        let (width, height) = (WIDE + 2.0 * MARGIN, height + head + MARGIN);
        let mut title = Canvas::new(width, Mode::Standalone, String::new());
        title.rect("ground", (0.0, 0.0), (width, height));
        for (i, line) in lines.iter().enumerate() {
            title.text(
                "title",
                (MARGIN, MARGIN + 14.0 + 20.0 * i as f64),
                Anchor::Start,
                line,
            );
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fig\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-labelledby=\"title desc\">\
             <title id=\"title\">{}</title><desc id=\"desc\">{} {}</desc><style>{}</style>{}\
             <g transform=\"translate({MARGIN} {head:.0})\">{body}</g></svg>\n",
            escape(&self.title),
            escape(&self.description),
            escape(&self.caption),
            standalone_style(),
            title.into_body(),
        )
    }
}

fn file_stem(id: &str, suffix: &str) -> String {
    if suffix.is_empty() {
        id.to_owned()
    } else {
        format!("{id}-{suffix}")
    }
}
