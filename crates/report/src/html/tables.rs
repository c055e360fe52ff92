//! The numbers behind the figures, as tables.

use std::borrow::Cow;

use batchscope_core::Estimate;
use batchscope_scaling::{PointState, Regime};

use crate::figures::{Data, rule_name};
use crate::format::{count, duration, estimate_short_as, number, times};
use crate::plot::svg::escape;

/// A table in a region that scrolls by itself.
pub(super) struct Table<'a> {
    pub id: &'a str,
    pub caption: Cow<'a, str>,
    /// Heading and whether its column holds numbers.
    pub head: Vec<(&'a str, bool)>,
    /// Cells as HTML.
    pub rows: Vec<Vec<String>>,
}

impl Table<'_> {
    fn write(&self, out: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let (caption, id) = (escape(&self.caption), self.id);
        out.push_str(&format!(
            "<h3 class=\"caption\" id=\"{id}\">{caption}</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
             aria-labelledby=\"{id}\"><table aria-labelledby=\"{id}\"><thead><tr>"
        ));
        for (name, numeric) in &self.head {
            out.push_str(&format!(
                "<th scope=\"col\"{}>{name}</th>",
                if *numeric { " class=\"num\"" } else { "" }
            ));
        }
        out.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            out.push_str("<tr>");
            for (i, cell) in row.iter().enumerate() {
                let class = if self.head.get(i).is_some_and(|h| h.1) {
                    " class=\"num\""
                } else {
                    ""
                };
                if i == 0 {
                    out.push_str(&format!("<th scope=\"row\"{class}>{cell}</th>"));
                } else {
                    out.push_str(&format!("<td{class}>{cell}</td>"));
                }
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table></div>\n");
    }
}

pub(super) fn section(out: &mut String, data: &Data) {
    out.push_str("<section aria-labelledby=\"numbers\"><h2 id=\"numbers\">The numbers</h2>\n");
    if data.findings.curves.is_empty() {
        out.push_str("<p>There are none yet: no fresh trial has finished.</p>\n");
    }
    critical(data).write(out);
    points(data).write(out);
    tuning(data).write(out);
    layers(data).write(out);
    if let Some(advice) = &data.findings.advice {
        options(data).write(out);
        let a = &advice.assumptions;
        out.push_str("<p class=\"small\">");
        for sentence in &advice.provenance {
            out.push_str(&format!("{} ", escape(sentence)));
        }
        let price = a
            .price_per_hour
            .map(|p| format!(", {} per device-hour", number(p)))
            .unwrap_or_default();
        let watts = a
            .watts
            .map(|w| format!(", {} W per device", number(w)))
            .unwrap_or_default();
        out.push_str(&format!(
            "Assumed: {} latency and {} GB/s per link{price}{watts}.</p>\n",
            duration(a.latency),
            number(a.bandwidth / 1e9)
        ));
        timings(data).write(out);
    }
    out.push_str("</section>\n");
}

/// An estimate, its interval kept on one line, with its reason as a tooltip.
fn cell(e: &Estimate, write: impl Fn(f64) -> String) -> String {
    let text = escape(&estimate_short_as(e, write));
    let text = match text.split_once(" (") {
        Some((value, interval)) => format!("{value} <span class=\"interval\">({interval}</span>"),
        None => text,
    };
    match &e.reason {
        Some(reason) => format!("<span title=\"{}\">{text}</span>", escape(reason)),
        None => text,
    }
}

fn critical<'a>(data: &Data) -> Table<'a> {
    let mut rows = Vec::new();
    for curve in &data.findings.curves {
        let Some(c) = data.findings.critical_batch_size.get(&curve.rule) else {
            continue;
        };
        let regimes = data.findings.regimes.get(&curve.rule);
        rows.push(vec![
            escape(&rule_name(&curve.rule)),
            cell(&c.hyperbola, number),
            cell(&c.overhead20, number),
            cell(&c.plateau, number),
            c.disagreement.map_or("–".into(), times),
            regimes.map_or("–".into(), |r| cell(&r.linear_below, number)),
            regimes.map_or("–".into(), |r| cell(&r.stagnation_above, number)),
            curve
                .fit
                .as_ref()
                .and_then(|f| f.lack_of_fit_p)
                .map_or("–".into(), number),
        ]);
    }
    Table {
        id: "critical",
        caption: "Critical batch size by definition, with 95 % intervals".into(),
        head: vec![
            ("curve", false),
            ("(a) hyperbola", true),
            ("(b) 20 % overhead ÷ 0.2", true),
            ("(c) plateau ÷ 10", true),
            ("disagreement", true),
            ("linear below", true),
            ("stagnation above", true),
            ("lack of fit p", true),
        ],
        rows,
    }
}

fn points<'a>(data: &Data) -> Table<'a> {
    let mut rows = Vec::new();
    let many = data.findings.curves.len() > 1;
    for curve in &data.findings.curves {
        let regimes = data.findings.regimes.get(&curve.rule);
        for p in &curve.points {
            let regime = regimes
                .and_then(|r| r.points.iter().find(|r| r.batch_size == p.batch_size))
                .map(|r| r.regime);
            let outcomes: Vec<String> = p
                .outcomes
                .iter()
                .map(|(state, n)| format!("{n} {}", state.replace('_', " ")))
                .collect();
            let mut row = vec![
                p.batch_size.to_string(),
                cell(&p.steps, number),
                cell(&p.examples, number),
                cell(&p.seconds, duration),
                cell(&p.speed_up, times),
                cell(&p.learning_rate, number),
                regime_word(regime).into(),
                if outcomes.is_empty() {
                    state_word(p.state).into()
                } else {
                    escape(&outcomes.join(", "))
                },
                p.minimum_over_trials.map_or("–".into(), count),
            ];
            if many {
                row.insert(1, escape(&rule_name(&curve.rule)));
            }
            rows.push(row);
        }
    }
    let mut head = vec![
        ("batch", true),
        ("steps", true),
        ("examples", true),
        ("seconds", true),
        ("speed-up", true),
        ("learning rate", true),
        ("regime", false),
        ("fresh trials", false),
        ("fewest steps in tuning", true),
    ];
    if many {
        head.insert(1, ("curve", false));
    }
    Table {
        id: "points",
        caption: "To the target, by batch size: geometric means over fresh seeds".into(),
        head,
        rows,
    }
}

fn regime_word(regime: Option<Regime>) -> &'static str {
    match regime {
        Some(Regime::Linear) => "linear",
        Some(Regime::Diminishing) => "diminishing",
        Some(Regime::Stagnation) => "stagnation",
        Some(Regime::Unknown) | None => "–",
    }
}

fn state_word(state: PointState) -> &'static str {
    match state {
        PointState::Reached => "reached",
        PointState::Partly => "partly reached",
        PointState::NotReached => "not reached",
        PointState::Diverged => "diverged",
        PointState::Infeasible => "infeasible",
    }
}

fn tuning<'a>(data: &Data) -> Table<'a> {
    let rows = data
        .findings
        .tuning
        .iter()
        .map(|t| {
            let mut range = format!("{}–{}", number(t.low), number(t.high));
            if t.on_edge {
                range.push_str(" (best on the edge)");
            }
            vec![
                t.batch_size.to_string(),
                count(t.trials),
                count(t.steps),
                t.chosen.map_or("none reached the target".into(), number),
                t.indistinct.map_or("–".into(), |(a, b)| {
                    format!("{}–{}", number(a), number(b))
                }),
                range,
                if t.widenings.is_empty() {
                    "–".into()
                } else {
                    escape(&t.widenings.join("; "))
                },
            ]
        })
        .collect();
    Table {
        id: "tuning",
        caption: "Tuning: what each batch size spent and chose".into(),
        head: vec![
            ("batch", true),
            ("trials", true),
            ("steps spent", true),
            ("chosen rate", true),
            ("within 10 % of best", true),
            ("range searched", true),
            ("widened", false),
        ],
        rows,
    }
}

/// Where the noise is: every layer of the network at the batch size whose noise scale is quoted.
fn layers<'a>(data: &Data) -> Table<'a> {
    let quoted = data
        .main_curve()
        .and_then(|curve| data.findings.quoted_noise(&curve.rule));
    let of = |name: &str, scale: &Estimate| vec![escape(name), cell(scale, number)];
    let rows = match quoted {
        Some(course) if !course.layers.is_empty() => {
            let layers = course.layers.iter();
            let mut rows: Vec<_> = layers.map(|l| of(&l.name, &l.population)).collect();
            rows.push(of("all parameters", &course.population));
            rows
        }
        _ => Vec::new(),
    };
    let batch = quoted.map_or(0, |course| course.batch_size);
    Table {
        id: "layers",
        caption: format!(
            "Gradient noise scale of each layer at batch size {}, averaged over training, in examples",
            count(batch)
        )
        .into(),
        head: vec![("layer", false), ("noise scale", true)],
        rows,
    }
}

fn options<'a>(data: &Data) -> Table<'a> {
    let Some(advice) = &data.findings.advice else {
        return Table {
            id: "options",
            caption: "".into(),
            head: vec![],
            rows: vec![],
        };
    };
    let money = advice.options.iter().any(|o| o.money.is_some());
    let energy = advice.options.iter().any(|o| o.energy.is_some());
    let mut head = vec![
        ("devices", true),
        ("batch", true),
        ("micro-batch", true),
        ("time", true),
        ("device time", true),
    ];
    if money {
        head.push(("cost", true));
    }
    if energy {
        head.push(("kWh", true));
    }
    head.push(("unbeaten", false));
    let rows = advice
        .options
        .iter()
        .map(|o| {
            let mut row = vec![
                o.devices.to_string(),
                o.batch_size.to_string(),
                format!("{} × {}", o.micro_batch, o.accumulation),
                cell(&o.seconds, duration),
                cell(&o.device_hours.scaled(3600.0), duration),
            ];
            if money {
                row.push(o.money.as_ref().map_or("–".into(), |m| cell(m, number)));
            }
            if energy {
                row.push(o.energy.as_ref().map_or("–".into(), |e| cell(e, number)));
            }
            row.push(if o.pareto {
                "yes".into()
            } else {
                String::new()
            });
            row
        })
        .collect();
    Table {
        id: "options",
        caption: "Time against cost, predicted for each number of devices".into(),
        head,
        rows,
    }
}

fn timings<'a>(data: &Data) -> Table<'a> {
    let timings = data
        .findings
        .advice
        .as_ref()
        .map_or(&[][..], |a| a.timings.as_slice());
    let rows = timings
        .iter()
        .map(|t| {
            let step = Estimate::estimated(t.seconds, t.low, t.high, 0.5, t.n);
            vec![
                t.batch_size.to_string(),
                t.micro_batch.to_string(),
                escape(&estimate_short_as(&step, duration)),
                number(t.batch_size as f64 / t.seconds),
                count(t.n),
            ]
        })
        .collect();
    Table {
        id: "timings",
        caption: "Step times measured alone on this machine: median and quartiles".into(),
        head: vec![
            ("batch", true),
            ("micro-batch", true),
            ("time per step", true),
            ("examples per second", true),
            ("steps timed", true),
        ],
        rows,
    }
}
