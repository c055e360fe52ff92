//! Properties of whole reports over the synthetic studies.

mod fixtures;

use batchscope_report::{figures, format, html, png, terminal_summary, to_json, write};
use fixtures::Study;
use sha2::Digest as _;

/// Every tag of a page, with its attributes.
fn tags(page: &str) -> Vec<&str> {
    page.split('<')
        .skip(1)
        .filter_map(|piece| piece.split_once('>').map(|(tag, _)| tag))
        .collect()
}

#[test]
fn every_figure_is_sound_xml_without_stray_numbers() {
    for study in fixtures::all() {
        for figure in figures(&study.findings, &study.records) {
            assert!(
                !figure.title.is_empty() && !figure.views.is_empty(),
                "{}: {}",
                study.name,
                figure.id
            );
            for view in &figure.views {
                let svg = figure.svg(view);
                let document = roxmltree::Document::parse(&svg)
                    .unwrap_or_else(|e| panic!("{} {}: {e}", study.name, figure.id));
                for node in document.descendants().filter(roxmltree::Node::is_element) {
                    for attribute in node.attributes() {
                        let value = attribute.value();
                        let stray = value.contains("NaN") || value.contains("inf");
                        assert!(
                            !stray,
                            "{} {}: {}=\"{value}\"",
                            study.name,
                            figure.id,
                            attribute.name()
                        );
                        assert!(!value.contains("var("), "{}", figure.id);
                    }
                }
                let texts = document.descendants().filter(|n| n.has_tag_name("text"));
                for text in texts.filter_map(|n| n.text().map(str::to_owned)) {
                    assert!(
                        !text.contains("NaN") && !text.contains("not a number"),
                        "{} {}: {text}",
                        study.name,
                        figure.id
                    );
                }
            }
        }
    }
}

/// Text stays inside the drawing, by the renderer's own measure.
#[test]
fn no_label_leaves_its_figure() {
    use resvg::usvg;
    fn check(group: &usvg::Group, width: f32, height: f32, what: &str) {
        for node in group.children() {
            match node {
                usvg::Node::Group(group) => check(group, width, height, what),
                usvg::Node::Text(text) => {
                    let b = text.abs_bounding_box();
                    let words: String = text.chunks().iter().map(usvg::TextChunk::text).collect();
                    assert!(
                        b.left() >= -0.5
                            && b.right() <= width + 0.5
                            && b.top() >= -0.5
                            && b.bottom() <= height + 0.5,
                        "{what}: '{words}' at {b:?} of {width} × {height}"
                    );
                }
                _ => {}
            }
        }
    }
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans_condensed::regular().to_vec());
    fonts.load_font_data(dejavu::sans_condensed::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = usvg::Options {
        fontdb: fonts.into(),
        font_family: "DejaVu Sans".into(),
        ..Default::default()
    };
    for study in fixtures::all() {
        for figure in figures(&study.findings, &study.records) {
            for view in &figure.views {
                let tree = usvg::Tree::from_str(&figure.svg(view), &options).unwrap();
                check(
                    tree.root(),
                    tree.size().width(),
                    tree.size().height(),
                    &format!("{} {}", study.name, figure.file_stem(view)),
                );
            }
        }
    }
}

#[test]
fn images_are_drawn_with_words_on_them() {
    let study = fixtures::tuned();
    let figure = &figures(&study.findings, &study.records)[0];
    let image = png(figure, &figure.views[0]).unwrap();
    let pixels = resvg::tiny_skia::Pixmap::decode_png(&image).unwrap();
    assert_eq!(pixels.width(), 2 * (660 + 28));
    // the title's letters are the only ink in the strip above the plot
    let title = pixels.pixels().iter().take(pixels.width() as usize * 60);
    let dark = title
        .filter(|p| p.red() < 90 && p.green() < 90 && p.blue() < 90)
        .count();
    assert!(dark > 1500, "the title left {dark} dark pixels");
}

#[test]
fn the_page_is_one_file_that_asks_for_nothing() {
    for study in fixtures::all() {
        let page = html(&study.findings, &study.records, &study.how);
        for tag in tags(&page) {
            for attribute in ["src=", "xlink:href=", "srcset=", "action=", "style="] {
                assert!(!tag.contains(&format!(" {attribute}")), "{tag}");
            }
            if let Some((_, rest)) = tag.split_once(" href=\"") {
                let local = ["#", "data:", "figures/"]
                    .iter()
                    .any(|p| rest.starts_with(p));
                assert!(local, "{tag:.120}");
            }
        }
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "{}",
            study.name
        );
        assert!(!page.contains("@import") && !page.contains("src: url"));
        assert!(
            page.len() < 5_000_000,
            "{} is {} bytes",
            study.name,
            page.len()
        );
    }
}

/// Every id once, every link to an existing one.
#[test]
fn links_within_the_page_arrive() {
    let study = fixtures::three_rules();
    let page = html(&study.findings, &study.records, &study.how);
    let of = |name: &str| -> Vec<String> {
        let start = format!(" {name}=\"");
        tags(&page)
            .iter()
            .filter_map(|t| t.split_once(start.as_str())?.1.split('"').next())
            .map(str::to_owned)
            .collect()
    };
    let mut ids = of("id");
    let total = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), total, "an id stands twice");
    for target in of("href").iter().filter_map(|h| h.strip_prefix('#')) {
        assert!(ids.binary_search(&target.to_owned()).is_ok(), "#{target}");
    }
    for list in of("aria-labelledby") {
        for id in list.split(' ') {
            assert!(
                ids.binary_search(&id.to_owned()).is_ok(),
                "aria-labelledby {id}"
            );
        }
    }
}

#[test]
fn the_policy_admits_the_script_and_no_other() {
    let study = fixtures::nothing();
    let page = html(&study.findings, &study.records, &study.how);
    let script = page
        .split_once("<script>")
        .unwrap()
        .1
        .split_once("</script>")
        .unwrap()
        .0;
    let hash = base64(&sha2::Sha256::digest(script.as_bytes()));
    assert!(
        page.contains(&format!("script-src 'sha256-{hash}'")),
        "SCRIPT_HASH must be sha256-{hash}"
    );
    assert_eq!(page.matches("<script").count(), 1);
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word =
                chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
            (0..4).map(move |i| {
                if i <= chunk.len() {
                    LETTERS[(word >> (18 - 6 * i)) as usize & 63] as char
                } else {
                    '='
                }
            })
        })
        .collect()
}

/// Whatever a person may name comes out as text.
#[test]
fn names_are_never_markup() {
    const EVIL: &str =
        "</style></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{1b}[31m";
    let Study {
        mut findings,
        mut records,
        mut how,
        ..
    } = fixtures::three_rules();
    findings.study.model = EVIL.into();
    findings.study.data = EVIL.into();
    findings.study.trainer = EVIL.into();
    findings.study.device = EVIL.into();
    findings.study.target_origin = EVIL.into();
    findings.study.trials.insert(EVIL.into(), 1);
    findings.verdict = EVIL.into();
    findings.remarks = vec![EVIL.into()];
    findings.tuning[0].widenings = vec![EVIL.into()];
    for curve in &mut findings.curves {
        let old = curve.rule.clone();
        curve.rule = format!("{EVIL}{old}");
        for point in &mut curve.points {
            point.outcomes.insert(EVIL.into(), 1);
            point.steps.reason = Some(EVIL.into());
            for repeat in &mut point.repeats {
                repeat.state = EVIL.into();
            }
        }
        let mut critical = findings.critical_batch_size.remove(&old).unwrap();
        critical.hyperbola.reason = Some(EVIL.into());
        findings
            .critical_batch_size
            .insert(curve.rule.clone(), critical);
    }
    for record in &mut records {
        record.notes = vec![EVIL.into()];
        record.spec.curves = record
            .spec
            .curves
            .iter()
            .map(|c| format!("{EVIL}{c}"))
            .collect();
        record.outcome = batchscope_core::Outcome::Failed { why: EVIL.into() };
    }
    how.command = EVIL.into();
    how.version = EVIL.into();
    how.machine.cpu = EVIL.into();
    how.settings_toml = EVIL.into();
    how.decisions = vec![EVIL.into()];
    how.notes = vec![EVIL.into()];
    let page = html(&findings, &records, &how);
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(!page.contains("<img") && !page.contains('\u{1b}'));
    for figure in figures(&findings, &records) {
        for view in &figure.views {
            roxmltree::Document::parse(&figure.svg(view)).unwrap();
        }
    }
    assert!(!terminal_summary(&findings, 80, false).contains('\u{1b}'));
}

/// Verdict, table, figure and file say the same number.
#[test]
fn one_number_everywhere() {
    let study = fixtures::tuned();
    let page = html(&study.findings, &study.records, &study.how);
    let e = &study.findings.critical_batch_size["tuned"].hyperbola;
    let value = format::number(e.value.unwrap());
    let short = format::estimate_short(e);
    let verdict = page
        .split_once("<h1>")
        .unwrap()
        .1
        .split_once("</h1>")
        .unwrap()
        .0;
    assert!(verdict.contains(&value), "{verdict}");
    let table = page
        .split_once("id=\"critical\"")
        .unwrap()
        .1
        .split_once("</table>")
        .unwrap()
        .0;
    let plain: String = table
        .split('<')
        .filter_map(|piece| piece.split_once('>'))
        .map(|(_, text)| text)
        .collect();
    assert!(plain.contains(&short), "{plain}");
    let forest = figures(&study.findings, &study.records)
        .into_iter()
        .find(|f| f.id == "critical-batch-size")
        .unwrap();
    assert!(forest.title.contains(&value) && forest.svg(&forest.views[0]).contains(&short));
    assert!(terminal_summary(&study.findings, 80, false).contains(&value));
    let json: serde_json::Value = serde_json::from_str(&to_json(&study.findings).unwrap()).unwrap();
    let stored = json["critical_batch_size"]["tuned"]["hyperbola"]["value"]
        .as_f64()
        .unwrap();
    assert_eq!(format::number(stored), value);
}

/// Bounds and gaps are words and arrows, not numbers.
#[test]
fn bounds_are_said_as_bounds() {
    let study = fixtures::at_least();
    let page = html(&study.findings, &study.records, &study.how);
    assert!(
        page.contains("≥\u{a0}256")
            && page.contains("undefined")
            && page.contains("<code>batchscope study --dir study")
    );
    let titles: Vec<String> = figures(&study.findings, &study.records)
        .into_iter()
        .map(|f| f.title)
        .collect();
    assert!(
        titles.iter().any(|t| t.contains("at least 256")),
        "{titles:?}"
    );
}

#[test]
fn a_report_is_a_folder_of_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/study");
    let study = fixtures::one_batch();
    let files = write(&dir, &study.findings, &study.records, &study.how).unwrap();
    let again = write(&dir, &study.findings, &study.records, &study.how).unwrap();
    assert_eq!(files, again);
    let names: Vec<String> = files
        .iter()
        .map(|f| f.strip_prefix(&dir).unwrap().display().to_string())
        .collect();
    assert_eq!(names[..3], ["findings.json", "trials.csv", "report.html"]);
    assert!(
        names.contains(&"figures/training-curves.svg".to_owned())
            && names.contains(&"figures/training-curves.png".to_owned())
    );
    for file in &files {
        assert!(
            std::fs::metadata(file).unwrap().len() > 0,
            "{}",
            file.display()
        );
    }
    let mut found = 0;
    for entry in std::fs::read_dir(&dir)
        .unwrap()
        .chain(std::fs::read_dir(dir.join("figures")).unwrap())
    {
        let path = entry.unwrap().path();
        assert!(
            !path.to_string_lossy().ends_with(".tmp"),
            "{}",
            path.display()
        );
        found += usize::from(path.is_file());
    }
    assert_eq!(found, files.len());
    let read: batchscope_scaling::Findings =
        serde_json::from_str(&std::fs::read_to_string(&files[0]).unwrap()).unwrap();
    assert_eq!(read, study.findings);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let study = fixtures::nothing();
    let error = write(
        &file.path().join("inside"),
        &study.findings,
        &study.records,
        &study.how,
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("inside") && error.contains("choose another folder"),
        "{error}"
    );
}

/// Without trials there is still a page that says so, and no empty plot.
#[test]
fn an_empty_study_reports_that_it_is_empty() {
    let study = fixtures::nothing();
    assert!(figures(&study.findings, &study.records).is_empty());
    let page = html(&study.findings, &study.records, &study.how);
    assert!(
        page.contains("no trial has measured anything yet")
            && page.contains("No trial has finished yet")
    );
}

/// A small figure, whole: what changes in the drawing is seen in review.
#[test]
fn the_drawing_keeps_its_shape() {
    let study = fixtures::one_batch();
    let figure = figures(&study.findings, &study.records)
        .into_iter()
        .find(|f| f.id == "steps-to-target")
        .unwrap();
    let svg = figure.svg(&figure.views[0]);
    let start = svg.find("</style>").unwrap() + "</style>".len();
    insta::assert_snapshot!(svg[start..].replace("><", ">\n<"));
}

/// The noise of every watched batch size is in the data, three of them are drawn, and the sentence
/// compares what is quoted with the critical batch size measured.
#[test]
fn gradient_noise_stands_beside_the_critical_batch_size() {
    let noise = |study: &Study| {
        let drawn = figures(&study.findings, &study.records);
        drawn.into_iter().find(|figure| figure.id == "noise")
    };
    assert!(noise(&fixtures::tuned()).is_none());
    let study = fixtures::watched();
    let figure = noise(&study).expect("it was watched");
    assert!(
        figure.title.contains("averages 210"),
        "{}: quoted from one place",
        figure.title
    );
    let sizes = study.findings.study.batch_sizes.len();
    assert_eq!(figure.data.lines().count(), 1 + 7 * sizes);
    assert_eq!(figure.data.matches("undefined").count(), 2 * sizes);
    let svg = figure.svg(&figure.views[0]);
    let document = roxmltree::Document::parse(&svg).unwrap();
    let texts = document.descendants().filter(|n| n.has_tag_name("text"));
    let beside = texts.filter(|n| n.attribute("class") != Some("title"));
    let labels = beside.filter(|n| n.text().is_some_and(|text| text.starts_with("batch ")));
    assert_eq!(labels.count(), 3, "the smallest, the base and the largest");
    let summary = terminal_summary(&study.findings, 80, false);
    assert!(summary.contains("gradient noise scale"), "{summary}");

    let page = html(&study.findings, &study.records, &study.how);
    let [_, table] = page
        .split("of each layer at batch size")
        .collect::<Vec<_>>()[..]
    else {
        panic!("one table of the layers")
    };
    let table = &table[..table.find("</table>").unwrap()];
    for cell in [
        "hidden1",
        "130",
        "(90",
        "undefined",
        "all parameters",
        "210",
    ] {
        assert!(table.contains(cell), "{cell}: {table}");
    }

    // Points with open intervals stay in the background, off the line and the axis: five of a
    // line's seven stretches are bounded, one is open and one has no value.
    let classes = |class: &str| svg.matches(&format!("class=\"{class}")).count();
    let (background, faint) = (classes("whisker weak"), classes("faint"));
    assert_eq!((background, faint), (3, 3));
    let mut wild = study;
    for course in wild.findings.noise.values_mut().flatten() {
        course.course[5].population.value = Some(1e12);
    }
    let figure = noise(&wild).unwrap();
    let svg_of_wild = figure.svg(&figure.views[0]);
    let ticks = |svg: &str| -> Vec<String> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let ticks = document
            .descendants()
            .filter(|n| n.attribute("class") == Some("tick"));
        ticks.filter_map(|n| n.text().map(str::to_owned)).collect()
    };
    assert_eq!(
        ticks(&svg_of_wild),
        ticks(&svg),
        "the axis is the bounded points'"
    );
}
