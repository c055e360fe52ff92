//! The crates lie in layers, and each imports only from layers below its own; ARCHITECTURE.md names
//! the layers and the two loops as they are.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The layer of each crate, by the name of its folder.
const LAYERS: [(&str, u32); 20] = [
    ("core", 0),
    ("kernels", 1),
    ("landscape", 1),
    ("rules", 1),
    ("scaling", 1),
    ("tensorboard", 1),
    ("data", 2),
    ("files", 2),
    ("group", 2),
    ("measurements", 2),
    ("nn", 2),
    ("optim", 2),
    ("command", 3),
    ("navigation", 3),
    ("train", 3),
    ("report", 4),
    ("reproduce", 4),
    ("study", 4),
    ("batchscope", 5),
    ("python", 5),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn layer(name: &str) -> Option<u32> {
    LAYERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, layer)| layer)
}

/// The folder of a crate of this workspace, by its package name.
fn folder(package: &str) -> Option<&str> {
    match package {
        "batchscope" => Some(package),
        _ => package.strip_prefix("batchscope-"),
    }
}

/// Packages that a manifest depends on when it is built for use: not those of its tests.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut tables: Vec<&toml::Table> = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut packages = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies"] {
            let Some(listed) = table.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            packages.extend(listed.iter().map(|(key, value)| {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                renamed.unwrap_or(key).to_owned()
            }));
        }
    }
    packages
}

/// What breaks the layers in a crate's manifest, a sentence each.
fn faults(name: &str, manifest: &toml::Table) -> Vec<String> {
    let Some(own) = layer(name) else {
        return vec![format!("crates/{name} is in no layer")];
    };
    let mut faults = Vec::new();
    for package in dependencies(manifest) {
        let Some(other) = folder(&package) else {
            continue;
        };
        match layer(other) {
            Some(layer) if layer < own => {}
            Some(layer) => faults.push(format!(
                "{name} of layer {own} depends on {other} of layer {layer}"
            )),
            None => faults.push(format!("{name} depends on {other}, which is in no layer")),
        }
    }
    faults
}

/// The manifests under `crates`, by folder.
fn manifests() -> BTreeMap<String, toml::Table> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    folders
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(path.join("Cargo.toml")).ok()?;
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            Some((name, text.parse().unwrap()))
        })
        .collect()
}

#[test]
fn crates_import_only_from_layers_below() {
    let manifests = manifests();
    assert!(manifests.len() > 10, "found {}", manifests.len());
    let faults: Vec<String> = manifests
        .iter()
        .flat_map(|(name, manifest)| faults(name, manifest))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn an_import_upward_sideways_or_of_no_layer_is_a_fault() {
    let broken = |name: &str, text: &str| faults(name, &text.parse().unwrap());
    let upward = "[dependencies]\nbatchscope-study.workspace = true";
    assert_eq!(
        broken("train", upward),
        ["train of layer 3 depends on study of layer 4"]
    );
    let sideways = "[target.'cfg(unix)'.dependencies]\nr = { package = \"batchscope-rules\" }";
    assert_eq!(
        broken("scaling", sideways),
        ["scaling of layer 1 depends on rules of layer 1"]
    );
    let built = "[build-dependencies]\nbatchscope = { path = \"../batchscope\" }";
    assert_eq!(broken("study", built).len(), 1);
    let unknown = "[dependencies]\nbatchscope-attic = \"1\"";
    assert_eq!(broken("train", unknown).len(), 1);
    assert_eq!(broken("attic", "").len(), 1);
    let sound = "[dependencies]\nserde = \"1\"\nbatchscope-core = \"1\"\n\
                 [dev-dependencies]\nbatchscope-train = \"1\"";
    assert_eq!(broken("study", sound), Vec::<String>::new());
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

#[test]
fn the_architecture_lists_every_crate_in_its_layer() {
    let text = architecture();
    let mut listed = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, layer, names, ..] = cells[..]
            && let Ok(layer) = layer.parse::<u32>()
        {
            listed.extend(quoted(names).into_iter().map(|name| (name, layer)));
        }
    }
    for name in manifests().keys() {
        assert_eq!(listed.get(name.as_str()).copied(), layer(name), "{name}");
    }
}

#[test]
fn the_architecture_names_both_loops_where_they_are() {
    let text = architecture();
    let loops: Vec<&str> = text.lines().filter(|l| l.contains(" loop**: `")).collect();
    assert_eq!(loops.len(), 2, "{loops:#?}");
    for line in loops {
        let [path, file] = quoted(line)[..] else {
            panic!("a function and its file should be named: {line}")
        };
        let source =
            fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let function = path.rsplit("::").next().unwrap();
        assert!(
            source.contains(&format!("pub fn {function}(")),
            "{file} has no public function {function}"
        );
    }
}
