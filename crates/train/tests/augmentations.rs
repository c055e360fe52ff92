//! One suite for every augmentation of the registry.

use batchscope_core::{
    Batch, DataShape, Described, Descriptor, InputShape, Inputs, Kind, Labels, Purpose, StreamKey,
    Task,
};
use batchscope_train::augment::{AUGMENTATIONS, AugmentError, AugmentSpec, Augmenter};

const SHAPE: DataShape = DataShape {
    input: InputShape::Image {
        height: 6,
        width: 5,
        channels: 2,
    },
    task: Task::Segment { classes: 31 },
};

/// Images and masks, each pixel and label of its own.
fn batch() -> Batch {
    let image = |i: u64| (0..60).map(move |p| ((i * 31 + p * 7) % 97 + 1) as f32);
    Batch {
        len: 16,
        first_draw: 1000,
        inputs: Inputs::Values((0..16).flat_map(image).collect()),
        labels: Labels::Pixels((0..16).flat_map(|_| 1..=30u8).collect()),
        ..Batch::empty(SHAPE)
    }
}

fn augmented(spec: &AugmentSpec) -> Batch {
    let key = StreamKey {
        study_seed: 7,
        trial: 3,
        purpose: Purpose::Order,
    };
    let mut batch = batch();
    let augmenter = Augmenter::new(spec, &SHAPE, key).unwrap();
    augmenter.unwrap().apply(&mut batch);
    batch
}

/// FNV-1a of pixels and labels.
fn digest(batch: &Batch) -> u64 {
    let (Inputs::Values(values), Labels::Pixels(labels)) = (&batch.inputs, &batch.labels) else {
        unreachable!()
    };
    let bytes = values.iter().flat_map(|x| x.to_bits().to_le_bytes());
    bytes
        .chain(labels.iter().copied())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
}

/// The augmentation with every setting at a value that suits a small image.
fn sample(of: &Descriptor) -> String {
    let values = of.parameters.iter().map(|parameter| match parameter.kind {
        Kind::Number(range) => {
            format!(":{}", range.low + 0.4 * (range.high.min(100.0) - range.low))
        }
        Kind::Whole(low, high) => format!(":{}", high.min(low + 1)),
        Kind::Switch => format!(":{}=on", parameter.name),
        Kind::Word(words) => format!(":{}", words[0]),
        Kind::Text(_) | Kind::List(..) => panic!("{}: give it a sample here", parameter.name),
    });
    of.name.to_owned() + &values.collect::<String>()
}

#[test]
fn the_registry_has_no_faults() {
    assert_eq!(AUGMENTATIONS.faults(), Vec::<String>::new());
}

#[test]
fn every_augmentation_is_written_as_it_was_read_and_changes_images() {
    for kind in AUGMENTATIONS.all {
        let text = sample(kind.descriptor());
        let spec: AugmentSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<AugmentSpec>(&json).unwrap(), spec);
        let changed = augmented(&spec);
        assert_ne!(changed.inputs, batch().inputs, "{text}");
        assert_eq!(changed, augmented(&spec), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    let key = |text: String| match text.parse::<AugmentSpec>() {
        Err(AugmentError::Choice(error)) => error.key().map(str::to_owned),
        other => panic!("{text}: {other:?}"),
    };
    for kind in AUGMENTATIONS.all {
        let of = kind.descriptor();
        assert_eq!(key(format!("{}:zoom=1", sample(of))), Some("zoom".into()));
        for parameter in of.parameters {
            let wrong = format!("{}({}=nan)", of.name, parameter.name);
            assert_eq!(key(wrong), Some(parameter.name.to_owned()));
        }
    }
}

/// What stored settings and identities say, and what it did to these images when they were stored. An
/// angle's sine may differ by a rounding elsewhere, so rotation is left out.
#[test]
fn spellings_and_numbers_stay() {
    for (text, expected) in [
        ("crop:2", 0x2498_4f6f_7808_a81a),
        ("flip", 0x592d_a445_6a68_55e1),
        ("translate:0.4", 0x21b8_22b3_c1f1_5695),
        ("cutout:3", 0x7a9c_2b79_83ad_72e6),
        ("crop:2,flip,translate:0.2,cutout:3", 0x3cec_4d1d_251b_6051),
    ] {
        let spec: AugmentSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        assert_eq!(digest(&augmented(&spec)), expected, "{text}");
    }
    let shown = |text: &str| text.parse::<AugmentSpec>().unwrap().to_string();
    assert_eq!(shown(" crop: 4 , rotate:1e1"), "crop:4,rotate:10");
    assert_eq!(shown("crop(padding=4),flip()"), "crop:4,flip");
    assert_eq!(shown(""), "none");
}
