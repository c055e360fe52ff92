//! The page of a survey: one file, no requests, complete without its script.

use batchscope_landscape::survey::Survey;

use super::{facts, surface, survey_figures};
use crate::Figure;
use crate::format::{count, number};
use crate::html::{self, html_text};
use crate::plot::svg::escape;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("surface.js");
/// SHA-256 of `surface.js`, in base64: the only script the page's policy lets run. A test says the
/// new value when the script changes.
const SCRIPT_HASH: &str = "sha256-W/S4QWWvNT0jEiCNsHj/H5BHxuge7oszXEqyy2LPpMo=";

/// A survey as one HTML file that opens offline.
pub fn html(survey: &Survey) -> String {
    page(survey, &survey_figures(survey))
}

/// [`html`] of figures already drawn.
pub(super) fn page(survey: &Survey, figures: &[Figure]) -> String {
    let mut out = String::with_capacity(1 << 18);
    let title = format!("The loss around a solution of {}", survey.subject.model);
    html::opening(&mut out, &title, SCRIPT_HASH, STYLE);
    out.push_str(&format!(
        "<main>\n<p class=\"kicker\">batchscope landscape</p>\n<h1>{}</h1>\n<p class=\"lead\">{}.</p>\n",
        html_text(&title),
        html_text(&facts::subject(survey))
    ));
    table(&mut out, survey);
    if !figures.is_empty() {
        out.push_str(
            "<section aria-labelledby=\"figures\"><h2 id=\"figures\">What was seen</h2>\n",
        );
        for figure in figures {
            html::figure(&mut out, figure);
        }
        out.push_str("</section>\n");
    }
    shape(&mut out, survey);
    how(&mut out, survey);
    out.push_str("</main>\n<script>");
    out.push_str(SCRIPT);
    out.push_str("</script>\n</body>\n</html>\n");
    out
}

fn table(out: &mut String, survey: &Survey) {
    out.push_str(
        "<section aria-labelledby=\"found\"><h2 id=\"found\">What was found</h2>\n<div class=\"scroll\"><table class=\"findings\">\
         <thead><tr><th scope=\"col\">Measurement</th><th scope=\"col\">Found</th><th scope=\"col\">By</th></tr></thead><tbody>\n",
    );
    for fact in facts::all(survey) {
        out.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>\n",
            // a setting is not torn from its value
            html_text(&fact.name.replace(" = ", "\u{a0}=\u{a0}")),
            html_text(&fact.value),
            html_text(&fact.cost)
        ));
    }
    out.push_str("</tbody></table></div></section>\n");
}

/// The surface to turn, where there is one.
fn shape(out: &mut String, survey: &Survey) {
    let Some(data) = surface::shape(survey) else {
        return;
    };
    out.push_str(
        "<section class=\"turn\" aria-labelledby=\"turn\"><h2 id=\"turn\">The surface, to turn</h2>\n\
         <canvas id=\"shape\" tabindex=\"0\" role=\"img\" aria-label=\"The training loss over two random directions, as a shape\" \
         aria-describedby=\"shape-said shape-keys\"></canvas>\n\
         <p id=\"shape-said\" aria-live=\"polite\"></p>\n\
         <p id=\"shape-keys\" class=\"small\">Drag, or use the arrow keys, to turn it; + and − to come nearer or go away; Home to begin \
         again; shift and the arrow keys to move the point. Height and color are the logarithm of the loss. The last field above \
         holds the same numbers.</p>\n",
    );
    out.push_str(&format!(
        "<script type=\"application/json\" id=\"shape-data\">{data}</script>\n</section>\n"
    ));
}

/// What was looked at, and how.
fn how(out: &mut String, survey: &Survey) {
    let subject = &survey.subject;
    let settings = &subject.settings;
    out.push_str(
        "<section aria-labelledby=\"how\"><h2 id=\"how\">How it was measured</h2>\n<dl class=\"facts\">",
    );
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
    for (name, value) in items {
        out.push_str(&format!(
            "<div><dt>{name}</dt><dd>{}</dd></div>",
            html_text(&value)
        ));
    }
    out.push_str("</dl>\n");
    out.push_str(&format!(
        "<p>Everything above as numbers: <code>{}</code> beside this page.</p></section>\n",
        escape("landscape.json")
    ));
}
