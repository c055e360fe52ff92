//! The page of a survey.

use batchscope_landscape::survey::Survey;
use maud::{Markup, PreEscaped, html};

use super::{facts, surface, survey_figures};
use crate::Figure;
use crate::format::{count, number};
use crate::html::{Frame, Script, Table, all_figures, facts as fact_list, prose, section};

const SCRIPT: Script = Script {
    text: include_str!("surface.js"),
    hash: "sha256-W/S4QWWvNT0jEiCNsHj/H5BHxuge7oszXEqyy2LPpMo=",
};

/// A survey as one HTML file that opens offline.
pub fn html(survey: &Survey) -> String {
    page(survey, &survey_figures(survey))
}

/// [`html()`] of figures already drawn.
pub(super) fn page(survey: &Survey, figures: &[Figure]) -> String {
    let title = format!("The loss around a solution of {}", survey.subject.model);
    let frame = Frame {
        title: &title,
        kicker: "batchscope landscape",
        heading: &title,
        lead: Some(html! { (prose(&facts::subject(survey))) "." }),
        style: include_str!("page.css"),
        script: SCRIPT,
    };
    frame.page(&html! {
        (section("found", "What was found", &table(survey)))
        (all_figures(figures))
        (shape(survey))
        (section("how", "How it was measured", &how(survey)))
    })
}

fn table(survey: &Survey) -> Markup {
    let row = |fact: facts::Fact| {
        // A setting is not torn from its value.
        let name = fact.name.replace(" = ", "\u{a0}=\u{a0}");
        [name, fact.value, fact.cost].map(|cell| html! { (prose(&cell)) })
    };
    let table = Table {
        id: "found".into(),
        class: Some("findings"),
        caption: "".into(),
        head: vec![("Measurement", false), ("Found", false), ("By", false)],
        rows: facts::all(survey)
            .into_iter()
            .map(|fact| row(fact).to_vec())
            .collect(),
    };
    table.markup()
}

/// The surface to turn, where there is one.
fn shape(survey: &Survey) -> Markup {
    let Some(data) = surface::shape(survey) else {
        return Markup::default();
    };
    html! {
        section.turn aria-labelledby="turn" {
            h2 #turn { "The surface, to turn" }
            canvas #shape tabindex="0" role="img"
                aria-label="The training loss over two random directions, as a shape"
                aria-describedby="shape-said shape-keys" {}
            p #shape-said aria-live="polite" {}
            p #shape-keys .small {
                "Drag, or use the arrow keys, to turn it; + and − to come nearer or go away; Home to begin again; shift and the \
                 arrow keys to move the point. Height and color are the logarithm of the loss. The last field above holds the \
                 same numbers."
            }
            script type="application/json" id="shape-data" { (PreEscaped(data)) }
        }
    }
}

/// What was looked at, and how.
fn how(survey: &Survey) -> Markup {
    let subject = &survey.subject;
    let settings = &subject.settings;
    let items = [
        ("Model", subject.model.clone()),
        ("Parameters", count(subject.dimension as u64)),
        ("Data", subject.data.clone()),
        ("Training examples of the loss", count(subject.examples)),
        ("Test examples of slices", count(subject.test_examples)),
        (
            "Checkpoint",
            format!(
                "step {}, content {}",
                count(subject.step),
                subject.parameters
            ),
        ),
        ("Batch size of its training", count(subject.batch_size)),
        ("Learning rate at that step", number(subject.learning_rate)),
        ("Computed", subject.computed.clone()),
        (
            "Searches",
            format!(
                "{} starts of {} iterations, seed {}",
                settings.starts, settings.iterations, settings.seed
            ),
        ),
        (
            "Relative residual of eigenvalues",
            number(settings.tolerance),
        ),
    ];
    html! {
        (fact_list(&items))
        p { "Everything above as numbers: " code { "landscape.json" } " beside this page." }
    }
}
