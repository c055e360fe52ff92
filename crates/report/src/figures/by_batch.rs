//! The skeleton of figures with the batch size across: seeds, means with intervals, fits with
//! bands, regimes, censored and diverged points.

use batchscope_core::{Estimate, EstimateState};
use batchscope_scaling::{PointState, Regimes};

use super::{drawn, rule_name};
use crate::format::{estimate_value, number};
use crate::plot::panel::{
    Area, Label, Panel, arrow, cross, draw_labels, legend, marker, spread, tick_room,
};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas, text_width};

/// One fresh trial in a figure.
pub(super) struct Seed {
    pub trial: u64,
    pub y: f64,
    pub state: String,
    pub tip: String,
}

/// One batch size of a series.
pub(super) struct Dot {
    pub batch: f64,
    pub y: Estimate,
    pub state: Option<PointState>,
    pub seeds: Vec<Seed>,
    pub tip: String,
}

/// One curve.
pub(super) struct Series {
    pub rule: String,
    pub category: usize,
    pub dots: Vec<Dot>,
    /// `(batch, value, low, high)` of its fit.
    pub fit: Vec<(f64, f64, f64, f64)>,
    /// Joins the dots where there is no fit.
    pub join: bool,
}

/// A straight reference.
pub(super) struct Reference {
    pub points: Vec<(f64, f64)>,
    pub label: &'static str,
    pub class: &'static str,
}

/// A figure over batch sizes.
pub(super) struct ByBatch<'a> {
    pub y_name: &'a str,
    pub series: Vec<Series>,
    pub regimes: Option<&'a Regimes>,
    pub critical: Option<&'a Estimate>,
    pub reference: Option<Reference>,
    pub log: bool,
}

/// A regime between two horizontal pixels, with its name and the class of its ground.
struct RegimeBand {
    from: f64,
    to: f64,
    word: &'static str,
    class: &'static str,
}

impl ByBatch<'_> {
    fn panel(&self, area: Area) -> Panel {
        let dots = || self.series.iter().flat_map(|s| &s.dots);
        let batches = extent(dots().map(|d| d.batch)).unwrap_or((1.0, 10.0));
        let values = dots()
            .flat_map(|d| {
                [d.y.value, d.y.low, d.y.high].into_iter().flatten().chain(
                    d.seeds
                        .iter()
                        .filter(|s| s.state != "diverged")
                        .map(|s| s.y),
                )
            })
            .chain(self.series.iter().flat_map(|s| s.fit.iter().map(|f| f.1)));
        if self.log {
            let (low, high) = extent(values.filter(|v| *v > 0.0)).unwrap_or((1.0, 10.0));
            Panel::new(
                area,
                Scale::log(batches.0, batches.1, 1.25),
                Scale::log(low, high, 1.35),
            )
        } else {
            let (_, high) = extent(values).unwrap_or((0.0, 1.0));
            Panel::new(
                area,
                Scale::linear(0.0, batches.1, 0.04),
                Scale::linear(0.0, high, 0.06),
            )
        }
    }

    /// Draws the figure, setting the canvas's height.
    pub(super) fn draw(&self, c: &mut Canvas) {
        let narrow = c.narrow();
        let many = self.series.len() > 1;
        let mut top = 26.0;
        if many && narrow {
            let keys: Vec<(String, usize)> = self
                .series
                .iter()
                .map(|s| (rule_name(&s.rule), s.category))
                .collect();
            top += legend(c, 4.0, c.width, 8.0, &keys);
        }
        let plot = if narrow { 240.0 } else { 320.0 };
        c.height = top + plot + 44.0;
        let mut area = Area {
            left: 40.0,
            top,
            right: c.width - 10.0,
            bottom: top + plot,
        };
        if many && !narrow {
            let widest = self
                .series
                .iter()
                .map(|s| text_width(&rule_name(&s.rule), 12.0))
                .fold(0.0, f64::max);
            area.right -= widest + 20.0;
        }
        let y_gap = if narrow { 26.0 } else { 30.0 };
        area.left = tick_room(&self.panel(area).y.ticks(y_gap)).max(30.0);
        let panel = self.panel(area);
        let regimes = self.regime_bands(&panel);
        for band in &regimes {
            if !band.class.is_empty() {
                c.rect(band.class, (band.from, area.top), (band.to, area.bottom));
            }
        }
        panel.grid(
            c,
            &panel.x.batch_ticks(if narrow { 30.0 } else { 34.0 }),
            &panel.y.ticks(y_gap),
        );
        // over the grid, so that no line of it runs through a word
        for band in &regimes {
            let (width, at) = (band.to - band.from, (band.from + band.to) / 2.0);
            if width > text_width(band.word, 11.0) + 8.0 {
                c.text(
                    "word haloed",
                    (at, area.top + 14.0),
                    Anchor::Middle,
                    band.word,
                );
            }
        }
        panel.names(c, "batch size (examples per step)", self.y_name);
        panel.inside(c, "clip", |c| {
            if let Some(reference) = &self.reference {
                panel.line(c, reference.class, reference.points.iter().copied());
            }
            for series in &self.series {
                let band: Vec<_> = series.fit.iter().map(|f| (f.0, f.2, f.3)).collect();
                panel.band(c, series.category, &band);
            }
            for series in &self.series {
                let class = format!("curve l{}", series.category);
                panel.line(c, &class, series.fit.iter().map(|f| (f.0, f.1)));
                if series.join {
                    let class = format!("thin l{}", series.category);
                    panel.line(
                        c,
                        &class,
                        series
                            .dots
                            .iter()
                            .filter(|d| d.y.is_estimated())
                            .map(|d| (d.batch, d.y.value.unwrap_or(f64::NAN))),
                    );
                }
            }
        });
        self.mark_critical(c, &panel);
        for (k, series) in self.series.iter().enumerate() {
            let shift =
                (k as f64 - (self.series.len() - 1) as f64 / 2.0) * if narrow { 3.0 } else { 5.0 };
            let strip = panel.area.top + if self.regimes.is_some() { 26.0 } else { 8.0 };
            series.draw_dots(c, &panel, shift, strip);
        }
        self.label(c, &panel, many && !narrow);
    }

    /// Linear, diminishing and stagnation, as far as they are known.
    fn regime_bands(&self, panel: &Panel) -> Vec<RegimeBand> {
        let Some(regimes) = self.regimes else {
            return Vec::new();
        };
        // a bound is drawn as far as it is known: `at least 256` shades linear up to 256
        let (Some(linear), Some(flat)) = (
            drawn(&regimes.linear_below),
            drawn(&regimes.stagnation_above),
        ) else {
            return Vec::new();
        };
        let flat_from = if regimes.stagnation_above.state == EstimateState::AtLeast {
            f64::INFINITY
        } else {
            flat
        };
        let edges = [panel.x.low(), linear, flat_from, panel.x.high()].map(|v| panel.x.clamped(v));
        let bound = regimes.linear_below.state == EstimateState::AtLeast;
        let words = [
            ("linear", ""),
            if bound {
                ("", "")
            } else {
                ("diminishing", "shade1")
            },
            ("stagnation", "shade2"),
        ];
        let bands = edges.windows(2).zip(words);
        bands
            .map(|(edge, (word, class))| RegimeBand {
                from: edge[0],
                to: edge[1],
                word,
                class,
            })
            .collect()
    }

    fn mark_critical(&self, c: &mut Canvas, panel: &Panel) {
        let Some(e) = self.critical.filter(|e| e.is_estimated()) else {
            return;
        };
        let Some(value) = drawn(e).filter(|v| panel.x.shows(*v)) else {
            return;
        };
        let area = panel.area;
        let x = panel.x.at(value);
        let text = format!("critical {}", estimate_value(e));
        c.mark(
            &format!("critical batch size {}", crate::format::estimate(e)),
            None,
            |c| {
                c.line("limit", (x, area.top + 20.0), (x, area.bottom));
                let half = text_width(&text, 11.0) / 2.0 + 2.0;
                let center = x.clamp(area.left + half, area.right - half);
                let at = (center, area.bottom - 10.0);
                c.text("word strong haloed", at, Anchor::Middle, &text);
            },
        );
    }

    fn label(&self, c: &mut Canvas, panel: &Panel, direct: bool) {
        let area = panel.area;
        if let Some(reference) = self.reference.as_ref().filter(|r| !r.label.is_empty()) {
            // beside the line towards its end, on the side where no curve runs
            let inside: Vec<_> = reference
                .points
                .iter()
                .filter(|(x, y)| panel.x.shows(*x) && panel.y.shows(*y))
                .collect();
            if let Some(&&(x, y)) = inside.get(inside.len() * 3 / 4) {
                let (px, py) = panel.at(x, y);
                let rising = inside[0].1 < y;
                let py = py + if rising { -10.0 } else { 18.0 };
                c.text("note", (px - 10.0, py), Anchor::End, reference.label);
            }
        }
        if direct {
            let mut labels: Vec<Label> = self
                .series
                .iter()
                .map(|s| {
                    let mean = s.dots.iter().rev().find_map(|d| drawn(&d.y));
                    let last = s.fit.last().map(|f| f.1).or(mean);
                    Label {
                        y: last.map_or(area.top, |v| panel.y.clamped(v)),
                        text: rule_name(&s.rule),
                        class: format!("strong n{}", s.category),
                        marker: None,
                    }
                })
                .collect();
            spread(&mut labels, 15.0, area.top + 6.0, area.bottom - 6.0);
            draw_labels(c, area.right + 14.0, &labels);
        }
    }
}

impl Series {
    fn draw_dots(&self, c: &mut Canvas, panel: &Panel, shift: f64, strip: f64) {
        let k = self.category;
        for dot in &self.dots {
            let x = panel.x.at(dot.batch) + shift;
            for (i, seed) in dot.seeds.iter().enumerate() {
                let aside = x
                    + (i as f64 - (dot.seeds.len() - 1) as f64 / 2.0)
                        * (9.0 / dot.seeds.len().max(1) as f64);
                // a diverged run never arrives: it stands above all that do
                let y = if seed.state == "diverged" {
                    strip
                } else {
                    panel.y.clamped(seed.y)
                };
                let at = (aside, y);
                c.mark(&seed.tip, Some(seed.trial), |c| match seed.state.as_str() {
                    "reached" => marker(c, &format!("faint p{k}"), k, at, 2.4),
                    "diverged" => cross(c, &format!("whisker l{k}"), at, 3.2),
                    _ => arrow(c, &format!("thin l{k}"), at, 2.4, -1.0),
                });
            }
            c.mark(&dot.tip, None, |c| self.draw_mean(c, panel, x, dot));
        }
    }

    fn draw_mean(&self, c: &mut Canvas, panel: &Panel, x: f64, dot: &Dot) {
        let k = self.category;
        let Some(value) = drawn(&dot.y) else {
            // nothing reached: say it at the foot of the plot, where no line runs
            if dot.state == Some(PointState::Diverged) && dot.seeds.is_empty() {
                cross(c, &format!("curve l{k}"), (x, panel.area.bottom - 8.0), 4.0);
            }
            return;
        };
        let y = panel.y.clamped(value);
        match dot.y.state {
            EstimateState::AtLeast => {
                arrow(c, &format!("whisker l{k}"), (x, y), 5.0, -1.0);
                marker(c, &format!("open o{k}"), k, (x, y), 4.0);
            }
            EstimateState::AtMost => {
                arrow(c, &format!("whisker l{k}"), (x, y), 5.0, 1.0);
                marker(c, &format!("open o{k}"), k, (x, y), 4.0);
            }
            _ => {
                let has_end = dot.y.low.is_some() || dot.y.high.is_some();
                if dot.y.low != dot.y.high && has_end {
                    panel.whisker(c, k, x, dot.y.low, dot.y.high);
                }
                let style = if dot.state == Some(PointState::Partly) {
                    format!("open o{k}")
                } else {
                    format!("dot p{k}")
                };
                marker(c, &style, k, (x, y), 4.2);
            }
        }
    }
}

/// The tip of a mean: `batch 512, LSR: 391 steps (95 % interval 370–415), 3 of 3 seeds`.
pub(super) fn tip(
    rule: &str,
    batch: u64,
    y: &Estimate,
    unit: &str,
    outcomes: &std::collections::BTreeMap<String, u64>,
) -> String {
    let total: u64 = outcomes.values().sum();
    let reached = outcomes.get("reached").copied().unwrap_or(0);
    let words = crate::format::estimate(y);
    let space = if unit.is_empty() { "" } else { " " };
    format!(
        "batch {batch}, {}: {words}{space}{unit}; {} of {} seeds reached the target",
        rule_name(rule),
        number(reached as f64),
        number(total as f64)
    )
}
