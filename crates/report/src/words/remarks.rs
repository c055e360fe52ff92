//! What the verdict rests on and what would change it, a sentence each.

use batchscope_core::EstimateState;
use batchscope_scaling::{
    Agreement, Curve, Findings, Fit, Law, PointState, ShapeVerdict, StudySummary, Swap,
};

use super::{list, reason};
use crate::figures::{definition, formula, size};
use crate::format::{count, duration, number, p_value};

/// What the verdict rests on and what would change it, a sentence each.
pub(super) fn remarks(findings: &Findings) -> Vec<String> {
    let mut remarks = vec![rests_on(findings)];
    for curve in &findings.curves {
        remarks.extend(definitions(findings, curve));
        if let Some(fit) = &curve.fit {
            remarks.extend(lack_of_fit(curve, fit));
            remarks.extend(own_definition(findings, curve));
            remarks.extend(shape(findings, curve));
            remarks.extend(rise(curve));
        }
        remarks.extend(end_states(curve));
        remarks.extend(inside_warm_up(curve));
        remarks.extend(moves_with_target(findings, curve));
        remarks.extend(noise(findings, curve));
    }
    remarks.extend(untested(findings));
    remarks.extend(too_few(findings));
    remarks.extend(findings.laws.iter().flat_map(|l| law(findings, l)));
    remarks.extend(findings.swaps().iter().map(swap));
    remarks.extend(tuning(findings));
    for curve in &findings.curves {
        remarks.extend(settle(findings, curve));
    }
    remarks
}

/// "tuned: " where there are several curves to tell apart.
fn about(findings: &Findings, curve: &Curve) -> String {
    if findings.curves.len() > 1 {
        format!("{}: ", curve.rule)
    } else {
        String::new()
    }
}

fn rests_on(findings: &Findings) -> String {
    let study = &findings.study;
    let fresh: u64 = findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.repeats.len() as u64)
        .sum();
    let tuning: u64 = findings.tuning.iter().map(|t| t.trials).sum();
    if let Some(elsewhere) = &study.measured_elsewhere {
        return format!(
            "It rests on {} of {} at {} batch sizes, measured elsewhere: {}.",
            counted(fresh, "run"),
            elsewhere.files.join(", "),
            study.batch_sizes.len(),
            runs_each(findings)
        );
    }
    let mut batch_sizes: Vec<u64> = findings
        .curves
        .iter()
        .flat_map(|c| &c.points)
        .map(|p| p.batch_size)
        .collect();
    batch_sizes.sort_unstable();
    batch_sizes.dedup();
    format!(
        "It rests on {fresh} results of fresh seeds at {} batch sizes ({} seeds each) and {tuning} \
         tuning trials; the target is {} ({}), {}.",
        batch_sizes.len(),
        study.seeds,
        study.goal(),
        study.target_origin,
        reached(study)
    )
}

/// What it means that a target is reached: `reached where ...`.
pub(crate) fn reached(study: &StudySummary) -> String {
    let crossed = match study.by_smoothing {
        true => "reached where the smoothed metric first meets it, as version 0.1.0 counted",
        false => "reached where the metric without its noise crosses it",
    };
    match study.conditions.as_ref().and_then(|c| c.eval_examples) {
        None => crossed.to_owned(),
        Some(most) => format!(
            "{crossed}, as evaluated on at most {}",
            counted(most, "example")
        ),
    }
}

/// `3 to 20 runs at each`, over all curves.
pub(crate) fn runs_each(findings: &Findings) -> String {
    let points = findings.curves.iter().flat_map(|c| &c.points);
    let runs = points.map(|p| p.repeats.len() as u64);
    let (least, most) = (runs.clone().min().unwrap_or(0), runs.max().unwrap_or(0));
    match least == most {
        true => format!("{} at each", counted(most, "run")),
        false => format!("{least} to {} at each", counted(most, "run")),
    }
}

/// `1 run`, `3 runs`.
fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// The gradient noise scale beside the critical batch size it predicts.
fn noise(findings: &Findings, curve: &Curve) -> Option<String> {
    let course = findings.quoted_noise(&curve.rule)?;
    let (scale, at) = (&course.population, course.batch_size);
    let Some(value) = scale.value else {
        return Some(format!(
            "{}The gradient noise scale at batch size {at} is undefined: {}.",
            about(findings, curve),
            reason(scale)
        ));
    };
    let knee = findings.critical_batch_size.get(&curve.rule)?;
    let beside = match (knee.hyperbola.state, knee.hyperbola.value) {
        (EstimateState::Estimated, Some(knee)) => {
            let ratio = number(value / knee);
            format!(", {ratio} times the critical batch size measured")
        }
        _ => String::new(),
    };
    Some(format!(
        "{}The gradient noise scale B_simple, averaged over training at batch size {at}, is {scale} examples{beside}.",
        about(findings, curve)
    ))
}

fn definitions(findings: &Findings, curve: &Curve) -> Option<String> {
    let critical = findings.critical_batch_size.get(&curve.rule)?;
    critical.hyperbola.value?;
    let agreement = match findings.agreement(&curve.rule) {
        Some(Agreement::Agree { within }) => format!(
            "; by their intervals no two lie more than a factor of {} apart",
            number(within)
        ),
        Some(Agreement::Exclude) => {
            "; their intervals exclude each other, so the curve is not an exact hyperbola"
                .to_owned()
        }
        Some(Agreement::LackOfFit) => {
            "; the curve is not an exact hyperbola (lack of fit), so they need not be equal"
                .to_owned()
        }
        Some(Agreement::TooUncertain) => {
            "; their intervals overlap, and are too wide to say that they agree".to_owned()
        }
        None => String::new(),
    };
    Some(format!(
        "{}Three definitions on one scale: fitted hyperbola {}; 20 % more examples, divided by 0.2, {}; within 10 % of the fewest steps, divided by 10, {}{agreement}.",
        about(findings, curve),
        critical.hyperbola,
        critical.overhead20,
        critical.plateau,
    ))
}

fn lack_of_fit(curve: &Curve, fit: &Fit) -> Option<String> {
    curve.rejected().map(|p| {
        format!(
            "The hyperbola is rejected for the curve of {}: it departs from it by more than the noise of its seeds (lack \
             of fit F = {}, p {}), so its critical batch size describes the curve and is no estimate. Unevenly tuned learning rates or another shape of the curve can \
             be the cause. The intervals are widened to the scatter between batch sizes.",
            curve.rule,
            fit.lack_of_fit_f
                .map_or_else(|| "unknown".to_owned(), number),
            p_value(p)
        )
    })
}

/// The names of curves: "On the curves of a and b", or nothing where there is one.
fn on(findings: &Findings, curves: &[&Curve]) -> String {
    let names: Vec<String> = curves.iter().map(|c| c.rule.clone()).collect();
    match findings.curves.len() {
        1 => String::new(),
        _ => format!("{}: ", names.join(", ")),
    }
}

/// Without a second run anywhere, nothing tells noise from another shape.
fn untested(findings: &Findings) -> Option<String> {
    let single = |c: &&Curve| c.fit.as_ref().is_some_and(|fit| fit.seed_sigma.is_none());
    let curves: Vec<&Curve> = findings.curves.iter().filter(single).collect();
    (!curves.is_empty()).then(|| {
        format!(
            "{}No batch size has a second run: the intervals are made from the scatter of single runs about the curve, and whether the curve is a hyperbola cannot be tested.",
            on(findings, &curves)
        )
    })
}

/// Curves whose shape cannot be told from another law's.
fn too_few(findings: &Findings) -> Option<String> {
    let few = |c: &&Curve| matches!(&c.shape, Some(shape) if shape.verdict == ShapeVerdict::TooFew);
    let curves: Vec<&Curve> = findings.curves.iter().filter(few).collect();
    (!curves.is_empty()).then(|| {
        format!(
            "{}Too few to tell the hyperbola from a law with a smallest usable batch size (Schaipp 2026): that takes 8 batch sizes, several runs each, none of them censored.",
            on(findings, &curves)
        )
    })
}

/// Zhang et al. 2024's number, where it was asked for.
fn own_definition(findings: &Findings, curve: &Curve) -> Option<String> {
    let own = findings
        .critical_batch_size
        .get(&curve.rule)?
        .overhead_from
        .as_ref()?;
    Some(format!(
        "{}By the definition of Zhang et al. 2024, 20 % more examples than at batch size {}, it is {}: another definition, not to be compared with the others.",
        about(findings, curve),
        own.from,
        own.batch_size
    ))
}

/// The hyperbola against the law with a smallest usable batch size.
fn shape(findings: &Findings, curve: &Curve) -> Option<String> {
    let shape = curve.shape.as_ref()?;
    let which = match shape.verdict {
        ShapeVerdict::TooFew => return None,
        ShapeVerdict::Hyperbola => "the hyperbola holds",
        ShapeVerdict::SmallestBatch => {
            "the other law holds, and the critical batch size of the hyperbola is a description"
        }
        ShapeVerdict::Undecided => "neither is clearly better",
    };
    let percent = |error: Option<f64>| number(100.0 * error.unwrap_or(f64::NAN));
    Some(format!(
        "{}Against a law with a smallest usable batch size (Schaipp 2026; {} here), {which}: AICc differs by {} in favor of {}, and a batch size left out is predicted to {} % by the hyperbola and {} % by the other.",
        about(findings, curve),
        number(shape.smallest_batch.unwrap_or(f64::NAN)),
        number(shape.delta_aicc.unwrap_or(f64::NAN).abs()),
        if shape.delta_aicc.is_some_and(|d| d > 0.0) {
            "the hyperbola"
        } else {
            "the other"
        },
        percent(shape.hyperbola_error),
        percent(shape.smallest_batch_error)
    ))
}

/// Steps that rise with the batch size.
fn rise(curve: &Curve) -> Option<String> {
    let (smaller, larger) = curve.rise()?;
    Some(format!(
        "On the curve of {}, batch size {larger} needs more steps than {smaller}, by intervals that exclude each other: no curve that falls with the batch size goes through both.",
        curve.rule
    ))
}

/// A law across curves, with what was asked of it.
fn law(findings: &Findings, law: &Law) -> Vec<String> {
    let is_rejected = |name: &str| {
        findings
            .curves
            .iter()
            .any(|c| c.rule == name && c.rejected().is_some())
    };
    let rejected = law.points.iter().filter(|p| is_rejected(&p.curve)).count() as u64;
    let mut remarks = vec![format!(
        "Across {} curves, {} is {}.{}",
        law.points.len(),
        definition(law),
        formula(law),
        match rejected {
            0 => String::new(),
            _ => format!(
                " {} of them are of curves that the runs reject, so it is a law of descriptions.",
                counted(rejected, "number")
            ),
        }
    )];
    remarks.extend(law.asked.iter().map(|value| {
        let beyond = match value.beyond {
            true => ", an extrapolation whose interval takes the law for true there",
            false => "",
        };
        format!(
            "At {} {} it gives {}{beyond}.",
            law.against,
            size(value.x),
            value.batch_size
        )
    }));
    remarks
}

/// Two curves that change places.
fn swap(swap: &Swap) -> String {
    format!(
        "The curves cross: {} needs fewer steps than {} at batch size {}, and more at {}.",
        swap.one, swap.other, swap.first, swap.second
    )
}

fn end_states(curve: &Curve) -> Vec<String> {
    let mut remarks = Vec::new();
    let diverged: u64 = curve
        .points
        .iter()
        .filter_map(|p| p.outcomes.get("diverged"))
        .sum();
    if diverged > 0 {
        let at: Vec<u64> = curve
            .points
            .iter()
            .filter(|p| p.outcomes.contains_key("diverged"))
            .map(|p| p.batch_size)
            .collect();
        remarks.push(format!(
            "On the curve of {}, {diverged} {} diverged (batch sizes {}); they are counted and enter no fit.",
            curve.rule,
            if diverged == 1 { "trial" } else { "trials" },
            list(&at)
        ));
    }
    let censored = curve.batch_sizes_in(PointState::NotReached);
    if !censored.is_empty() {
        let contradicted = curve.past_the_fit();
        let more = if contradicted.is_empty() {
            String::new()
        } else {
            format!(
                " Of these, {} trained past the steps the fitted curve expects, so more steps than the curve says are needed there, if the target can be reached at all.",
                list(&contradicted)
            )
        };
        remarks.push(format!(
            "On the curve of {}, no trial reached the target at batch sizes {}.{more}",
            curve.rule,
            list(&censored)
        ));
    }
    let infeasible = curve.batch_sizes_in(PointState::Infeasible);
    if !infeasible.is_empty() {
        remarks.push(format!(
            "Batch sizes {} could not be run ({}).",
            list(&infeasible),
            curve.rule
        ));
    }
    remarks
}

fn inside_warm_up(curve: &Curve) -> Option<String> {
    let at = curve.reached_inside_warm_up();
    (!at.is_empty()).then(|| {
        format!(
            "On the curve of {}, the target was reached inside warm-up at batch sizes {}: there the steps measure the warm-up too.",
            curve.rule,
            list(&at)
        )
    })
}

fn moves_with_target(findings: &Findings, curve: &Curve) -> Option<String> {
    let rows = findings.targets.get(&curve.rule)?;
    let here = rows.first()?;
    let easiest = rows.iter().skip(1).rfind(|r| r.hyperbola.value.is_some())?;
    here.hyperbola.value?;
    let conditions = findings.study.conditions.as_ref();
    let warms_up = conditions.is_some_and(|c| !c.schedule.warm_up.length.is_zero());
    Some(format!(
        "{}The answer belongs to its target: at the easier {} the critical batch size is {}, with the learning rates tuned for the harder one{}.",
        about(findings, curve),
        easiest.target,
        easiest.hyperbola,
        if warms_up {
            "; at large batch sizes most of those steps can lie inside the warm-up"
        } else {
            ""
        }
    ))
}

fn tuning(findings: &Findings) -> Vec<String> {
    let mut remarks = Vec::new();
    let edge: Vec<u64> = findings
        .tuning
        .iter()
        .filter(|t| t.on_edge)
        .map(|t| t.batch_size)
        .collect();
    if !edge.is_empty() {
        remarks.push(format!(
            "At batch sizes {} the best learning rate still sits on the edge of its range: a wider range may need fewer steps there.",
            list(&edge)
        ));
    }
    let chosen = findings
        .tuning
        .iter()
        .filter(|t| t.chosen.is_some())
        .count();
    let loose = findings
        .tuning
        .iter()
        .filter_map(|t| t.indistinct)
        .map(|(low, high)| high / low)
        .fold(1.0, f64::max);
    if chosen > 0 && loose > 1.0 {
        remarks.push(format!(
            "Intervals cover the noise between seeds, not the choice of the learning rate: rates \
             up to a factor of {} apart took numbers of steps within 10 % of each other.",
            number(loose)
        ));
    }
    remarks
}

fn settle(findings: &Findings, curve: &Curve) -> Option<String> {
    let critical = findings.critical_batch_size.get(&curve.rule)?;
    let settle = critical.to_settle.as_ref()?;
    let what = if critical.hyperbola.is_estimated() {
        "the definitions that are only bounds"
    } else {
        "the critical batch size"
    };
    Some(format!(
        "{}To settle {what}, add batch sizes {}: `{}` (at most {} examples, {}).",
        about(findings, curve),
        list(&settle.batch_sizes),
        settle.command,
        number(settle.examples),
        duration(settle.seconds)
    ))
}
