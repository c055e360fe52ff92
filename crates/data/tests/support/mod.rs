//! Writers of the formats that the crate reads, for tests.
#![allow(dead_code)] // each test program uses some of them

pub mod golden;
pub mod sources;

use std::io::Write;
use std::path::Path;

use batchscope_core::{Batch, Examples, Inputs, Labels, Purpose, StreamKey};
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};

pub fn key(seed: u64) -> StreamKey {
    StreamKey {
        study_seed: seed,
        trial: 3,
        purpose: Purpose::Order,
    }
}

pub fn idx(dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    for d in dimensions {
        bytes.extend(d.to_be_bytes());
    }
    bytes.extend(values);
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// `count` CIFAR records; image `i` of class `labels[i]` has red `i`, green 100, blue 200.
pub fn cifar(labels: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, label) in labels.iter().enumerate() {
        bytes.extend(*label);
        bytes.extend([i as u8; 1024]);
        bytes.extend([100; 1024]);
        bytes.extend([200; 1024]);
    }
    bytes
}

pub fn png(width: u32, height: u32, color: image::ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
    use image::ImageEncoder;
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(pixels, width, height, color)
        .unwrap();
    bytes
}

pub fn gray(width: u32, height: u32, level: u8) -> Vec<u8> {
    png(
        width,
        height,
        image::ExtendedColorType::L8,
        &vec![level; (width * height) as usize],
    )
}

pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub fn zip(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let method = if deflate {
        zip::CompressionMethod::Deflated
    } else {
        zip::CompressionMethod::Stored
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An element of a MAT-file, padded.
pub fn mat_element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A `uint8` matrix element of a MAT-file.
pub fn mat_matrix(name: &str, dimensions: &[u32], values: &[u8]) -> Vec<u8> {
    let mut body = mat_element(6, &[9, 0, 0, 0, 0, 0, 0, 0]);
    body.extend(mat_element(
        5,
        &dimensions
            .iter()
            .flat_map(|d| d.to_le_bytes())
            .collect::<Vec<_>>(),
    ));
    body.extend(mat_element(1, name.as_bytes()));
    body.extend(mat_element(2, values));
    mat_element(14, &body)
}

/// A MAT-file of these elements, each compressed or not.
pub fn mat(elements: &[Vec<u8>], compressed: bool) -> Vec<u8> {
    let mut bytes = vec![b' '; 124];
    bytes.extend([0, 1, b'I', b'M']);
    for element in elements {
        if compressed {
            let packed = zlib(element);
            bytes.extend(15u32.to_le_bytes());
            bytes.extend((packed.len() as u32).to_le_bytes());
            bytes.extend(packed);
        } else {
            bytes.extend(element);
        }
    }
    bytes
}

/// An entry of a binary archive of Kaldi's: a float matrix.
pub fn kaldi_matrix(key: &str, columns: usize, values: &[f32]) -> Vec<u8> {
    let mut bytes = format!("{key} \0BFM ").into_bytes();
    for side in [values.len() / columns, columns] {
        bytes.push(4);
        bytes.extend((side as i32).to_le_bytes());
    }
    bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    bytes
}

/// The same: a vector of integers.
pub fn kaldi_labels(key: &str, labels: &[i32]) -> Vec<u8> {
    let mut bytes = format!("{key} \0B").into_bytes();
    for number in [labels.len() as i32].iter().chain(labels) {
        bytes.push(4);
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

pub fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A whole split in stored order.
pub fn all(examples: &dyn Examples) -> Batch {
    let mut batch = Batch::empty(examples.shape());
    examples.fill_in_order(0..examples.len(), &mut batch);
    batch
}

pub fn classes(batch: &Batch) -> &[u32] {
    let Labels::Classes(classes) = &batch.labels else {
        panic!("classes were expected")
    };
    classes
}

pub fn values(batch: &Batch) -> &[f32] {
    let Inputs::Values(values) = &batch.inputs else {
        panic!("values were expected")
    };
    values
}

pub fn tokens(batch: &Batch) -> (&[u32], &[u32]) {
    let (Inputs::Tokens(inputs), Labels::Tokens(labels)) = (&batch.inputs, &batch.labels) else {
        panic!("tokens were expected")
    };
    (inputs, labels)
}

/// The examples of a split as (class, first pixel), sorted: what it holds, whatever the order.
pub fn content(examples: &dyn Examples) -> Vec<(u32, i64)> {
    let batch = all(examples);
    let width = examples.shape().input.len();
    let firsts = values(&batch)
        .chunks(width)
        .map(|row| (row[0] * 1e4).round() as i64);
    let mut content: Vec<_> = classes(&batch).iter().copied().zip(firsts).collect();
    content.sort_unstable();
    content
}
