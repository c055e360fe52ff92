//! The results as a page: which numbers stand where, and how they are to be read.

use batchscope_core::Estimate;
use batchscope_report::{
    Axis, AxisScale, Chart, ChartPanel, Document, PageTable, Point, Section, Series,
    format::{estimate_short, number, percent},
};
use batchscope_reproduce::keskar::{Contrast, Method, Minimum, PUBLISHED, Results, Verdict};

mod slices;

use super::preset::shown;

/// The page.
pub fn document(results: &Results) -> Document {
    let setting = &results.setting;
    let sections = [
        table(results),
        slices::section(results),
        remedies(results),
        batch_sizes(results),
        trajectory(results),
        warm_starts(results),
        runs(results),
        published(),
    ];
    Document {
        kicker: "Keskar et al. 2016 (arXiv 1609.04836), repeated".to_owned(),
        title: title(results),
        lead: lead(results),
        sections: sections.into_iter().flatten().collect(),
        facts: vec![
            ("Model".to_owned(), shown(&setting.model)),
            ("Data".to_owned(), setting.data.clone()),
            ("Training examples".to_owned(), setting.examples.to_string()),
            (
                "Batch sizes".to_owned(),
                format!("{} and {}", setting.small, setting.large),
            ),
            (
                "Optimizer".to_owned(),
                format!("ADAM, rate {}", setting.learning_rate),
            ),
            ("Seed".to_owned(), setting.seed.to_string()),
        ],
    }
}

fn title(results: &Results) -> String {
    let setting = &results.setting;
    let network = setting.network.to_uppercase();
    let sharper = results
        .claims
        .iter()
        .find(|c| c.claim.starts_with("large batches find sharper"));
    match sharper.map(|c| (c.verdict, &c.found)) {
        Some((Verdict::Agrees, found)) => format!(
            "{network}: large batches find minima {} times as sharp",
            estimate_short(found)
        ),
        Some((Verdict::Disagrees, found)) => format!(
            "{network}: large batches find flatter minima, {} times as sharp",
            estimate_short(found)
        ),
        _ => format!("{network}: small against large batches"),
    }
}

fn lead(results: &Results) -> String {
    let theirs: Vec<_> = results.claims.iter().filter(|c| c.of_the_paper).collect();
    let count = |verdict| theirs.iter().filter(|c| c.verdict == verdict).count();
    let setting = &results.setting;
    format!(
        "Of {} statements of the paper, {} agree with what was found here, {} disagree, and {} are undecided. Batches \
         of {} against {} of {} training examples; sharpness is that of the loss on {} of them, other losses and accuracies \
         are on {} examples at most.",
        theirs.len(),
        count(Verdict::Agrees),
        count(Verdict::Disagrees),
        count(Verdict::Undecided),
        setting.small,
        setting.large,
        setting.examples,
        setting.sharpness.examples,
        setting.evaluation
    )
}

fn row(cells: impl IntoIterator<Item = String>) -> Vec<String> {
    cells.into_iter().collect()
}

fn table(results: &Results) -> Option<Section> {
    if results.table.is_empty() {
        return None;
    }
    let setting = &results.setting;
    let plateau = &setting.plateau;
    let rows = results.table.iter().map(|r| {
        let published = |side: usize| {
            r.published
                .map_or_else(|| "–".to_owned(), |p| format!("{:.2}", p[side]))
        };
        let compared = match r.contrast {
            Contrast::Ratio => format!("{} (large/small)", estimate_short(&r.compared)),
            Contrast::Difference => format!("{} (small − large)", estimate_short(&r.compared)),
        };
        row([
            r.quantity.clone(),
            estimate_short(&r.small),
            estimate_short(&r.large),
            compared,
            published(0),
            published(1),
        ])
    });
    let mut tables = vec![PageTable {
        caption: "Means over the starts, with 95 % intervals (none where all starts gave the same)"
            .to_owned(),
        head: PageTable::heads(&[
            "",
            "small",
            "large",
            "compared, start by start",
            "paper: small",
            "paper: large",
        ]),
        rows: rows.collect(),
    }];
    if let Some(distance) = &results.distance {
        tables.push(PageTable {
            caption: "Distance of the minima from where training began".to_owned(),
            head: PageTable::heads(&["", "small", "large", "small/large", "paper: small/large"]),
            rows: vec![row([
                "‖x − x₀‖".to_owned(),
                estimate_short(&distance.small),
                estimate_short(&distance.large),
                estimate_short(&distance.ratio),
                "3–10".to_owned(),
            ])],
        });
    }
    tables.push(PageTable {
        caption: "The paper's statements".to_owned(),
        head: PageTable::heads(&["", "", "here", "paper", "what is compared"]),
        rows: results
            .claims
            .iter()
            .map(|c| {
                row([
                    c.claim.clone(),
                    c.verdict.name().to_owned(),
                    estimate_short(&c.found),
                    c.published.clone(),
                    c.unit.clone(),
                ])
            })
            .collect(),
    });
    Some(Section {
        heading: "Small against large batches".to_owned(),
        paragraphs: vec![
            format!(
                "A run ends when none of its last {} epochs has brought the training loss below the lowest of those before by {} \
                 (and by {} at least), or after {} epochs. Runs of the same start share their initial weights and the order of \
                 the examples.",
                plateau.patience,
                percent(plateau.relative),
                number(plateau.absolute),
                setting.epochs
            ),
            format!(
                "φ is 100·(max f − f)/(1 + f) in a box about the minimum, searched by {} iterations of L-BFGS-B from {} random \
                 starts, f being the loss on {} training examples. Where the loss is all but zero so few iterations may end far from the \
                 maximum: the rows of more iterations go on. It changes when a network is rewritten without changing what it \
                 computes; adaptive sharpness, in a box relative to each weight, does so less.",
                setting.sharpness.iterations, setting.sharpness.starts, setting.sharpness.examples
            ),
        ],
        tables,
        figures: Vec::new(),
        remarks: results.notes.clone(),
    })
}

fn exact(y: f64) -> Estimate {
    Estimate::exact(y)
}

fn remedies(results: &Results) -> Option<Section> {
    if results.remedies.is_empty() {
        return None;
    }
    let setting = &results.setting;
    let rows = results.remedies.iter().map(|r| {
        let name = match (r.method, r.batch_size == setting.large) {
            (Method::Plain, true) => "large, plain".to_owned(),
            (Method::Plain, false) => "small, plain".to_owned(),
            (method, _) => format!("large, {}", method.name()),
        };
        row([
            name,
            estimate_short(&r.test_accuracy),
            estimate_short(&r.gain),
            estimate_short(&r.phi),
            estimate_short(&r.phi_ratio),
        ])
    });
    Some(Section {
        heading: "Against sharp minima".to_owned(),
        paragraphs: vec![format!(
            "{}; conservative training with λ and iterations {}; adversarial examples with ε and the clean loss's weight {}. The \
             paper finds that all three help accuracy and that minima stay sharp.",
            match setting.augment.as_str() {
                "" => "No augmentation, which is for images".to_owned(),
                how => format!("Augmentation by {how}"),
            },
            setting.conservative,
            setting.adversarial
        )],
        tables: vec![PageTable {
            caption: "Large batches, and what was tried with them".to_owned(),
            head: PageTable::heads(&[
                "",
                "test accuracy, %",
                "gain over plain large",
                "φ, full space, %",
                "φ over plain large",
            ]),
            rows: rows.collect(),
        }],
        ..Section::default()
    })
}

/// Accuracy and sharpness, a panel each, of minima along an axis.
fn pair_of_panels(minima: &[(String, f64, &Minimum)], x: &Axis, joined: bool) -> Vec<ChartPanel> {
    let mut names: Vec<&str> = minima.iter().map(|(name, ..)| name.as_str()).collect();
    names.dedup();
    let panel = |title: &str, y: Axis, of: &dyn Fn(&Minimum) -> Estimate| ChartPanel {
        title: title.to_owned(),
        x: x.clone(),
        y,
        series: names
            .iter()
            .map(|name| Series {
                name: (*name).to_owned(),
                joined,
                points: minima
                    .iter()
                    .filter(|(of, ..)| of == name)
                    .map(|(_, x, minimum)| Point {
                        x: *x,
                        y: of(minimum),
                    })
                    .collect(),
            })
            .collect(),
    };
    vec![
        panel("test accuracy", Axis::new("%", AxisScale::Linear), &|m| {
            exact(100.0 * m.test_accuracy)
        }),
        panel("sharpness", Axis::new("φ, %", AxisScale::Log), &|m| {
            m.phi.clone()
        }),
    ]
}

fn batch_sizes(results: &Results) -> Option<Section> {
    let minima: Vec<_> = results
        .batch_sizes
        .iter()
        .map(|m| ("minima".to_owned(), m.batch_size as f64, m))
        .collect();
    let chart = Chart {
        id: "batch-sizes",
        title: "Accuracy and sharpness against the batch size".to_owned(),
        caption: "Every start a point; φ in the full space at the larger ε, with the interval over the starts of its search."
            .to_owned(),
        panels: pair_of_panels(&minima, &Axis::new("batch size", AxisScale::Batch), false),
    };
    Some(Section {
        heading: "Against the batch size".to_owned(),
        figures: vec![chart.figure()?],
        ..Section::default()
    })
}

fn trajectory(results: &Results) -> Option<Section> {
    let series = |batch_size: u64| Series {
        name: format!("batch {batch_size}"),
        joined: true,
        points: results
            .trajectory
            .iter()
            .filter(|m| m.batch_size == batch_size)
            .map(|m| Point {
                x: m.train_loss,
                y: m.phi.clone(),
            })
            .collect(),
    };
    let setting = &results.setting;
    let chart = Chart {
        id: "trajectory",
        title: "Sharpness against the loss along training".to_owned(),
        caption: "States of the first start after 1, 2, 4, 8 and more epochs, and at the end: training goes from right to left."
            .to_owned(),
        panels: vec![ChartPanel {
            title: "on the way to the minima".to_owned(),
            x: Axis::new("training loss", AxisScale::Log),
            y: Axis::new("φ, %", AxisScale::Log),
            series: vec![series(setting.small), series(setting.large)],
        }],
    };
    Some(Section {
        heading: "Along training".to_owned(),
        figures: vec![chart.figure()?],
        ..Section::default()
    })
}

fn warm_starts(results: &Results) -> Option<Section> {
    let minima: Vec<_> = results
        .warm_starts
        .iter()
        .map(|w| ("warm starts".to_owned(), f64::from(w.after), &w.minimum))
        .collect();
    let chart = Chart {
        id: "warm-starts",
        title: "Large batches that take over from small ones".to_owned(),
        caption: format!(
            "Batches of {} trained on to their own end from the state of small batches after so many epochs (first start).",
            results.setting.large
        ),
        panels: pair_of_panels(
            &minima,
            &Axis::new("epochs of small batches", AxisScale::Linear),
            true,
        ),
    };
    Some(Section {
        heading: "Warm starts".to_owned(),
        figures: vec![chart.figure()?],
        ..Section::default()
    })
}

/// The loss of every plain run after every epoch.
fn runs(results: &Results) -> Option<Section> {
    let setting = &results.setting;
    let panel = |title: &str, batch_size: u64| ChartPanel {
        title: title.to_owned(),
        x: Axis::new("epoch", AxisScale::Linear),
        y: Axis::new("training loss", AxisScale::Log),
        series: results
            .runs
            .iter()
            .filter(|r| r.run.batch_size == batch_size && r.run.method == Method::Plain)
            .filter(|r| r.run.warm.is_none())
            .map(|r| Series {
                name: format!("start {}", r.run.start),
                joined: true,
                points: r
                    .epochs
                    .iter()
                    .map(|e| Point {
                        x: f64::from(e.epoch),
                        y: exact(e.train_loss),
                    })
                    .collect(),
            })
            .collect(),
    };
    let chart = Chart {
        id: "runs",
        title: "The training loss of every run".to_owned(),
        caption: "On the evaluated training examples, after every epoch.".to_owned(),
        panels: vec![
            panel("small batches", setting.small),
            panel("large batches", setting.large),
        ],
    };
    Some(Section {
        heading: "The runs".to_owned(),
        figures: vec![chart.figure()?],
        ..Section::default()
    })
}

/// The paper's own table.
fn published() -> Option<Section> {
    let pair = |[small, large]: [f64; 2]| format!("{small:.2} / {large:.2}");
    let rows = PUBLISHED.iter().map(|p| {
        row([
            format!("{}, {}", p.network.to_uppercase(), p.about),
            pair(p.test_accuracy),
            pair(p.full),
            pair(p.full_half),
            pair(p.random),
            pair(p.random_half),
        ])
    });
    Some(Section {
        heading: "What the paper reports".to_owned(),
        tables: vec![PageTable {
            caption: "Means over five starts, small / large".to_owned(),
            head: PageTable::heads(&[
                "",
                "test accuracy, %",
                "φ full, 1e-3",
                "φ full, 5e-4",
                "φ random, 1e-3",
                "φ random, 5e-4",
            ]),
            rows: rows.collect(),
        }],
        ..Section::default()
    })
}
