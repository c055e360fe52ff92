//! The numbers behind the figures, as tables.

use batchscope_core::Estimate;
use batchscope_scaling::{Advice, Agreement, PointState, Regime};
use maud::{Markup, html};

use super::{Table, prose};
use crate::figures::{Data, rule_name};
use crate::format::{count, duration, estimate_short_as, learning_rate, number, times};

pub(super) fn section(data: &Data) -> Markup {
    let content = html! {
        @if data.findings.curves.is_empty() {
            p { "There are none yet: no fresh trial has finished." }
        }
        (critical(data).markup())
        (points(data).markup())
        (tuning(data).markup())
        (layers(data).markup())
        @if let Some(advice) = &data.findings.advice {
            (options(advice).markup())
            (assumed(advice))
            (timings(advice).markup())
        }
    };
    super::section("numbers", "The numbers", &content)
}

/// What the options were computed from.
fn assumed(advice: &Advice) -> Markup {
    let a = &advice.assumptions;
    html! {
        p.small {
            @for sentence in &advice.provenance { (prose(sentence)) " " }
            "Assumed: " (duration(a.latency)) " latency and " (number(a.bandwidth / 1e9)) " GB/s per link"
            @if let Some(price) = a.price_per_hour { ", " (number(price)) " per device-hour" }
            @if let Some(watts) = a.watts { ", " (number(watts)) " W per device" }
            "."
        }
    }
}

/// A cell of plain text.
fn plain(text: impl AsRef<str>) -> Markup {
    html! { (prose(text.as_ref())) }
}

/// A cell that something may be missing from.
fn or_dash<T>(value: Option<T>, cell: impl Fn(T) -> Markup) -> Markup {
    value.map_or_else(|| plain("–"), cell)
}

/// An estimate, its interval kept on one line, with its reason as a tooltip.
fn cell(e: &Estimate, write: impl Fn(f64) -> String) -> Markup {
    let text = estimate_short_as(e, write);
    let shown = match text.split_once(" (") {
        Some((value, interval)) => html! { (value) " " span.interval { "(" (interval) } },
        None => html! { (text) },
    };
    match &e.reason {
        Some(reason) => html! { span title=(reason) { (shown) } },
        None => shown,
    }
}

fn critical(data: &Data) -> Table<'static> {
    let mut rows = Vec::new();
    for curve in &data.findings.curves {
        let Some(c) = data.findings.critical_batch_size.get(&curve.rule) else {
            continue;
        };
        let regimes = data.findings.regimes.get(&curve.rule);
        rows.push(vec![
            plain(rule_name(&curve.rule)),
            cell(&c.hyperbola, number),
            cell(&c.overhead20, number),
            cell(&c.plateau, number),
            or_dash(data.findings.agreement(&curve.rule), |agreement| {
                plain(match agreement {
                    Agreement::Agree { within } => format!("agree within {}", times(within)),
                    Agreement::Exclude => "exclude each other".to_owned(),
                    Agreement::LackOfFit => "need not be equal".to_owned(),
                    Agreement::TooUncertain => "overlap".to_owned(),
                })
            }),
            or_dash(regimes, |r| cell(&r.linear_below, number)),
            or_dash(regimes, |r| cell(&r.stagnation_above, number)),
            or_dash(curve.fit.as_ref().and_then(|f| f.lack_of_fit_p), |p| {
                plain(number(p))
            }),
        ]);
    }
    Table {
        id: "critical".into(),
        class: None,
        caption: "Critical batch size by definition, with 95 % intervals".into(),
        head: vec![
            ("curve", false),
            ("(a) hyperbola", true),
            ("(b) 20 % overhead ÷ 0.2", true),
            ("(c) plateau ÷ 10", true),
            ("definitions", false),
            ("linear below", true),
            ("stagnation above", true),
            ("lack of fit p", true),
        ],
        rows,
    }
}

fn points(data: &Data) -> Table<'static> {
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
                plain(p.batch_size.to_string()),
                cell(&p.steps, number),
                cell(&p.examples, number),
                cell(&p.seconds, duration),
                cell(&p.speed_up, times),
                cell(&p.learning_rate, number),
                plain(regime_word(regime)),
                match outcomes.is_empty() {
                    true => plain(state_word(p.state)),
                    false => plain(outcomes.join(", ")),
                },
                or_dash(p.minimum_over_trials, |n| plain(count(n))),
            ];
            if many {
                row.insert(1, plain(rule_name(&curve.rule)));
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
        id: "points".into(),
        class: None,
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

fn tuning(data: &Data) -> Table<'static> {
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
                plain(t.batch_size.to_string()),
                plain(count(t.trials)),
                plain(count(t.steps)),
                plain(t.chosen.map_or("none reached the target".into(), |rate| {
                    learning_rate(rate, t.momentum)
                })),
                or_dash(t.indistinct, |(a, b)| {
                    plain(format!("{}–{}", number(a), number(b)))
                }),
                plain(range),
                match t.widenings.is_empty() {
                    true => plain("–"),
                    false => plain(t.widenings.join("; ")),
                },
            ]
        })
        .collect();
    Table {
        id: "tuning".into(),
        class: None,
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
fn layers(data: &Data) -> Table<'static> {
    let quoted = data
        .main_curve()
        .and_then(|curve| data.findings.quoted_noise(&curve.rule));
    let of = |name: &str, scale: &Estimate| vec![plain(name), cell(scale, number)];
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
        id: "layers".into(),
        class: None,
        caption: format!(
            "Gradient noise scale of each layer at batch size {}, averaged over training, in examples",
            count(batch)
        )
        .into(),
        head: vec![("layer", false), ("noise scale", true)],
        rows,
    }
}

fn options(advice: &Advice) -> Table<'static> {
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
                plain(o.devices.to_string()),
                plain(o.batch_size.to_string()),
                plain(format!("{} × {}", o.micro_batch, o.accumulation)),
                cell(&o.seconds, duration),
                cell(&o.device_hours.scaled(3600.0), duration),
            ];
            if money {
                row.push(or_dash(o.money.as_ref(), |m| cell(m, number)));
            }
            if energy {
                row.push(or_dash(o.energy.as_ref(), |e| cell(e, number)));
            }
            row.push(plain(if o.pareto { "yes" } else { "" }));
            row
        })
        .collect();
    Table {
        id: "options".into(),
        class: None,
        caption: "Time against cost, predicted for each number of devices".into(),
        head,
        rows,
    }
}

fn timings(advice: &Advice) -> Table<'static> {
    let rows = advice
        .timings
        .iter()
        .map(|t| {
            let step = Estimate::estimated(t.seconds, t.low, t.high, 0.5, t.n);
            vec![
                plain(t.batch_size.to_string()),
                plain(t.micro_batch.to_string()),
                plain(estimate_short_as(&step, duration)),
                plain(number(t.batch_size as f64 / t.seconds)),
                plain(count(t.n)),
            ]
        })
        .collect();
    Table {
        id: "timings".into(),
        class: None,
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
