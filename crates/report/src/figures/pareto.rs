//! What does speed cost, in device-hours or money?

use batchscope_core::Estimate;
use batchscope_scaling::DeviceOption;

use super::{Data, cells, csv, drawn};
use crate::format::{batch_tick, duration, estimate_as, number, times};
use crate::plot::figure::Figure;
use crate::plot::panel::{Area, Panel, marker, tick_room};
use crate::plot::scale::{Scale, extent};
use crate::plot::svg::{Anchor, Canvas, Path, text_width};

/// What an option costs: money where prices were given.
fn cost(option: &DeviceOption) -> &Estimate {
    option.money.as_ref().unwrap_or(&option.device_hours)
}

pub(super) fn figure(data: &Data) -> Option<Figure> {
    let advice = data.findings.advice.as_ref()?;
    let options: Vec<&DeviceOption> = advice
        .options
        .iter()
        .filter(|o| {
            drawn(&o.seconds).is_some_and(|v| v > 0.0) && drawn(cost(o)).is_some_and(|v| v > 0.0)
        })
        .collect();
    if options.is_empty() {
        return None;
    }
    let money = options.iter().all(|o| o.money.is_some());
    let title = title(&options);
    let caption = format!(
        "Each mark is one number of devices at one batch size: time to the target runs across, {} \
         runs up. No option is better in both than the filled marks, which the line joins; labels \
         give devices × batch size. {}",
        if money { "cost" } else { "device-hours" },
        advice.provenance.join(" ")
    );
    let rows = advice.options.iter().map(|o| {
        let mut row = vec![
            o.devices.to_string(),
            o.batch_size.to_string(),
            o.micro_batch.to_string(),
            o.accumulation.to_string(),
            o.pareto.to_string(),
        ];
        row.extend(cells(&o.seconds));
        row.extend(cells(&o.device_hours));
        row
    });
    let header = [
        "devices",
        "batch_size",
        "micro_batch",
        "accumulation",
        "pareto",
        "seconds",
        "seconds_low",
        "seconds_high",
        "seconds_state",
        "device_hours",
        "device_hours_low",
        "device_hours_high",
        "device_hours_state",
    ];
    let csv = csv(&header, rows);
    let description =
        format!("{title}. Chart of cost against time; the table of options gives every value.");
    Some(
        Figure::new("time-cost", title, caption, description, csv)
            .view("", "", |c| draw(c, &options, money)),
    )
}

fn title(options: &[&DeviceOption]) -> String {
    let by = |of: fn(&DeviceOption) -> &Estimate| {
        options.iter().filter(|o| o.pareto).min_by(move |a, b| {
            of(a)
                .value
                .unwrap_or(f64::INFINITY)
                .total_cmp(&of(b).value.unwrap_or(f64::INFINITY))
        })
    };
    let (Some(fast), Some(cheap)) = (by(|o| &o.seconds), by(cost)) else {
        return "Time and cost of each option".to_owned();
    };
    if fast.devices == cheap.devices && fast.batch_size == cheap.batch_size {
        return format!(
            "{} at batch size {} is both the fastest and the cheapest",
            devices(fast.devices),
            fast.batch_size
        );
    }
    let ratio = |of: fn(&DeviceOption) -> &Estimate, a: &DeviceOption, b: &DeviceOption| {
        of(a).value.unwrap_or(f64::NAN) / of(b).value.unwrap_or(f64::NAN)
    };
    format!(
        "{} at batch size {}: {} as fast as {} at {}, at {} the cost",
        devices(fast.devices),
        fast.batch_size,
        times(ratio(|o| &o.seconds, cheap, fast)),
        devices(cheap.devices).to_lowercase(),
        cheap.batch_size,
        times(ratio(cost, fast, cheap))
    )
}

fn devices(n: u64) -> String {
    if n == 1 {
        "One device".to_owned()
    } else {
        format!("{n} devices")
    }
}

fn draw(c: &mut Canvas, options: &[&DeviceOption], money: bool) {
    let narrow = c.narrow();
    let plot = if narrow { 230.0 } else { 280.0 };
    let top = 26.0;
    let points: Vec<(f64, f64, &DeviceOption)> = options
        .iter()
        .filter_map(|o| Some((drawn(&o.seconds)?, drawn(cost(o))?, *o)))
        .collect();
    let xs = extent(points.iter().map(|p| p.0)).unwrap_or((1.0, 10.0));
    let ys = extent(points.iter().map(|p| p.1)).unwrap_or((1.0, 10.0));
    let y = Scale::log(ys.0, ys.1, 1.25);
    let left = tick_room(&y.over(plot, 0.0).ticks(26.0)).max(30.0);
    let area = Area {
        left,
        top,
        right: c.width - 10.0,
        bottom: top + plot,
    };
    c.height = top + plot + 44.0;
    let panel = Panel::new(area, Scale::log(xs.0, xs.1, 1.3), y);
    let x_ticks: Vec<_> = panel
        .x
        .ticks(48.0)
        .into_iter()
        .map(|(v, _)| (v, duration(v)))
        .collect();
    panel.grid(c, &x_ticks, &panel.y.ticks(26.0));
    panel.names(
        c,
        "time to the target",
        if money { "cost" } else { "device-hours" },
    );
    let mut front: Vec<&(f64, f64, &DeviceOption)> = points.iter().filter(|p| p.2.pareto).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    c.path(
        "thin l0",
        &Path::through(front.iter().map(|p| panel.at(p.0, p.1))),
    );
    for (seconds, price, o) in &points {
        let at = panel.at(*seconds, *price);
        let amount = estimate_as(cost(o), number);
        let tip = format!(
            "{}, batch {}, micro-batch {} × {}: {}, {} {amount}",
            devices(o.devices),
            o.batch_size,
            o.micro_batch,
            o.accumulation,
            estimate_as(&o.seconds, duration),
            if money { "cost" } else { "device-hours" }
        );
        c.mark(&tip, None, |c| {
            marker(
                c,
                if o.pareto { "dot p0" } else { "open o6" },
                0,
                at,
                if o.pareto { 5.0 } else { 3.6 },
            )
        });
    }
    // a label goes to the first place round its mark that covers no mark and no other label
    let mut taken: Vec<(f64, f64, f64)> = points
        .iter()
        .map(|p| panel.at(p.0, p.1))
        .map(|(x, y)| (x - 6.0, x + 6.0, y))
        .collect();
    let mut named: Vec<(u64, u64)> = Vec::new();
    for (seconds, price, o) in front {
        if named.contains(&(o.devices, o.batch_size)) {
            continue;
        }
        named.push((o.devices, o.batch_size));
        let at = panel.at(*seconds, *price);
        let text = format!("{} × {}", o.devices, batch_tick(o.batch_size as f64));
        let width = text_width(&text, 11.5);
        let (right, left) = (at.0 + 8.0, at.0 - 8.0 - width);
        let places =
            [(right, -9.0), (left, 9.0), (right, 9.0), (left, -9.0)].map(|(x, dy)| (x, at.1 + dy));
        let free = places.into_iter().find(|&(x, y)| {
            let inside = x > area.left
                && x + width < area.right
                && y > area.top + 4.0
                && y < area.bottom - 8.0;
            inside
                && taken.iter().all(|&(from, to, other)| {
                    x > to || x + width < from || (y - other).abs() > 11.0
                })
        });
        if let Some((x, y)) = free {
            taken.push((x, x + width, y));
            c.text("note", (x, y + 4.0), Anchor::Start, &text);
        }
    }
    if points.iter().any(|p| !p.2.pareto) {
        c.text(
            "note",
            (area.right, area.top - 10.0),
            Anchor::End,
            "open: beaten in both",
        );
    }
}
