//! What the verdict rests on and what would change it, a sentence each.

use batchscope_core::EstimateState;
use batchscope_scaling::{Agreement, Curve, Findings, Fit, LACK_OF_FIT_LEVEL, PointState};

use super::{list, reason};
use crate::format::{duration, number, p_value};

/// What the verdict rests on and what would change it, a sentence each.
pub(super) fn remarks(findings: &Findings) -> Vec<String> {
    let mut remarks = vec![rests_on(findings)];
    for curve in &findings.curves {
        remarks.extend(definitions(findings, curve));
        if let Some(fit) = &curve.fit {
            remarks.extend(lack_of_fit(curve, fit));
        }
        remarks.extend(end_states(curve));
        remarks.extend(inside_warm_up(curve));
        remarks.extend(moves_with_target(findings, curve));
        remarks.extend(noise(findings, curve));
    }
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
         tuning trials; the target is {} ({}).",
        batch_sizes.len(),
        study.seeds,
        study.target,
        study.target_origin
    )
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
    let p = fit.lack_of_fit_p?;
    (p < LACK_OF_FIT_LEVEL).then(|| {
        format!(
            "The curve of {} departs from the hyperbola by more than the noise of its seeds (lack \
             of fit F = {}, p {}). Unevenly tuned learning rates or another shape of the curve can \
             be the cause. The intervals are widened to the scatter between batch sizes.",
            curve.rule,
            fit.lack_of_fit_f
                .map_or_else(|| "unknown".to_owned(), number),
            p_value(p)
        )
    })
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
