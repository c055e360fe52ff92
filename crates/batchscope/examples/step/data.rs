//! Data sets of the size of the real ones, held in memory as a study holds them.

use std::{fs, path::Path};

use batchscope_core::{DataShape, InputShape};
use batchscope_data::{Dataset, LoadOptions, TextOptions, Validation, open};

use crate::workloads::{Failure, spread};

/// Images of MNIST, of CIFAR-10, and words of WikiText-2.
const GREY: usize = 60_000;
const COLOR: usize = 50_000;
const WORDS: usize = 2_000_000;

/// A set of examples of this shape, made up, written to a temporary folder and read from there
/// through the reader that real data take.
pub fn memory(shape: DataShape) -> Result<Dataset, Failure> {
    let folder = tempfile::tempdir()?;
    let mut options = LoadOptions {
        validation: Some(Validation::Count(1)),
        ..LoadOptions::default()
    };
    match shape.input {
        InputShape::Image {
            height,
            width,
            channels,
        } => {
            let images = if channels == 1 { GREY } else { COLOR };
            let shape = [images, height, width, channels];
            write_npy(&folder.path().join("x.npy"), &shape, 256)?;
            write_npy(&folder.path().join("y.npy"), &[images], 10)?;
        }
        InputShape::Tokens {
            sequence,
            vocabulary,
        } => {
            options.text = TextOptions {
                vocabulary: vocabulary as u32,
                sequence: sequence as u32,
                ..TextOptions::default()
            };
            let words = vocabulary as u64 - 2; // `<unk>` and the end of a line come on top
            let text: String = (0..WORDS)
                .map(|i| format!("w{} ", spread(i) % words))
                .collect();
            fs::write(folder.path().join("train.txt"), text)?;
        }
        InputShape::Vector { .. } => return Err("no workload takes vectors".into()),
    }
    let path = folder
        .path()
        .to_str()
        .ok_or("a temporary folder in UTF-8")?;
    let set = open(path, &options)?;
    if set.shape != shape {
        return Err(format!("made examples of {:?} for {shape:?}", set.shape).into());
    }
    Ok(set)
}

/// An array of bytes below `bound`, in NumPy's format.
fn write_npy(file: &Path, shape: &[usize], bound: u64) -> Result<(), Failure> {
    let sides: String = shape.iter().map(|side| format!("{side},")).collect();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sides}), }}");
    let padded = format!("{header:<117}\n"); // 10 bytes and this make a multiple of 64
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded.len() as u16).to_le_bytes());
    bytes.extend(padded.bytes());
    let len: usize = shape.iter().product();
    bytes.extend((0..len).map(|i| (spread(i) % bound) as u8));
    Ok(fs::write(file, bytes)?)
}
