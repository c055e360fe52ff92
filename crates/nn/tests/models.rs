//! The contract of every kind of model that [`MODELS`] lists.

mod common;

use std::collections::HashSet;

use batchscope_core::{DataShape, Kind, NetworkFactory, ParameterKind, StreamKey, Task};
use batchscope_nn::{DROPOUT, DeviceSpec, Factory, MODELS, ModelKind, ModelSpec, SMOOTHING};
use common::*;

/// Data of every sort.
fn shapes() -> [DataShape; 3] {
    [
        PHOTOS,
        text(3, 20),
        vectors(360, Task::Classify { classes: 10 }),
    ]
}

/// The kind with its defaults, and with each of its switches on.
fn specs(kind: &ModelKind) -> Vec<ModelSpec> {
    let name = kind.descriptor.name;
    let parameters = kind.descriptor.parameters.iter();
    let switches = parameters.filter(|parameter| parameter.kind == Kind::Switch);
    let switched = switches.map(|switch| format!("{name}({})", switch.name));
    std::iter::once(name.to_owned())
        .chain(switched)
        .map(|text| text.parse().unwrap())
        .collect()
}

/// Every spec of every kind with a shape of data that it takes.
fn cases() -> Vec<(ModelSpec, Factory, DataShape)> {
    let specs = MODELS.all.iter().flat_map(|kind| specs(kind));
    let cases = specs.map(|spec| {
        let factory = Factory::new(spec.clone(), DeviceSpec::Cpu).unwrap();
        let mut shapes = shapes().into_iter();
        let shape = shapes.find(|shape| factory.parameters(shape).is_ok());
        let shape = shape.unwrap_or_else(|| panic!("{spec} takes none of the shapes"));
        (spec, factory, shape)
    });
    cases.collect()
}

#[test]
fn the_registry_is_sound() {
    assert_eq!(MODELS.faults(), Vec::<String>::new());
    for kind in MODELS.all {
        let of = &kind.descriptor;
        let last = of.parameters.last().map(|parameter| parameter.name);
        assert_eq!(last, Some(SMOOTHING.name), "{}", of.name);
    }
}

#[test]
fn every_model_reads_back_from_its_text() {
    for (spec, factory, _) in cases() {
        let text = spec.to_string();
        assert_eq!(text.parse::<ModelSpec>().unwrap(), spec, "{text}");
        assert_eq!(factory.name(), text);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<ModelSpec>(&json).unwrap(), spec);
    }
}

/// What the settings say is what is built: batch norm where there is a ghost size, and something to
/// drop where there is a probability.
#[test]
fn settings_say_what_is_built() {
    for (spec, factory, shape) in cases() {
        let network = factory.build(&shape, KEY).unwrap();
        let layout = network.layout();
        let mut tensors = layout.tensors.iter();
        let has_norm = tensors.any(|tensor| tensor.kind == ParameterKind::NormScale);
        assert_eq!(spec.ghost().is_some(), has_norm, "{spec}");

        let names: HashSet<&String> = layout.tensors.iter().map(|t| &t.name).collect();
        assert_eq!(
            names.len(),
            layout.tensors.len(),
            "{spec}: a name stands twice"
        );

        if spec.kind().descriptor.parameter(DROPOUT.name).is_some() {
            let memory = |dropout: &str| {
                let text = spec.to_string();
                let (name, rest) = text.split_once('(').unwrap_or((&text, ""));
                let rest = rest.trim_end_matches(')').split(',');
                let rest = rest.filter(|item| !item.is_empty() && !item.starts_with("dropout"));
                let items: Vec<&str> = rest.chain([dropout]).collect();
                let model = format!("{name}({})", items.join(","));
                common::factory(&model).memory(&shape, 64)
            };
            assert!(memory("dropout=0.5") > memory("dropout=0"), "{spec}");
        }
    }
}

#[test]
fn only_models_that_label_pixels_take_masks() {
    for kind in MODELS.all {
        let name = kind.descriptor.name;
        let takes = factory(name).parameters(&masks(32, 5)).is_ok();
        assert_eq!(takes, kind.labels_pixels, "{name}");
    }
}

/// Every model takes a step, from weights that the key alone decides.
#[test]
fn every_model_takes_a_step() {
    for (spec, factory, shape) in cases() {
        let mut network = factory.build(&shape, KEY).unwrap();
        let start = parameters(network.as_mut());
        let again = parameters(factory.build(&shape, KEY).unwrap().as_mut());
        assert_eq!(start, again, "{spec}");
        let other = StreamKey { trial: 4, ..KEY };
        let other = parameters(factory.build(&shape, other).unwrap().as_mut());
        assert_ne!(start, other, "{spec}");

        let loss = descend(network.as_mut(), shape, 0, 2, 0.01);
        assert!(loss.is_finite() && loss > 0.0, "{spec}: {loss}");
        let moved = parameters(network.as_mut());
        assert!(moved.iter().flatten().all(|w| w.is_finite()), "{spec}");
        assert_ne!(start, moved, "{spec}");
    }
}
