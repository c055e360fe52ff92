//! A small good source of every format: what the hostile suite and the fuzz target `readers` damage.

use std::path::{Path, PathBuf};

use super::{
    cifar, golden, gray, gzip, idx, kaldi_labels, kaldi_matrix, mat, mat_matrix, tar, write,
};

/// Files of a folder, by name.
pub type Files = Vec<(&'static str, Vec<u8>)>;

/// A folder that the reader of this name reads. A reader that is missing here fails the hostile
/// suite: add a folder of a few hundred bytes, compressed where the format allows it.
pub fn folder(format: &str) -> Option<Files> {
    let speech = || {
        [
            kaldi_matrix("u", 2, &[1.0, 2.0, 3.0, 4.0]),
            b"v [ 1 2\n 3 4 ]\n".to_vec(),
        ]
        .concat()
    };
    let labels = || [kaldi_labels("u", &[0, 1]), b"v 1 0\n".to_vec()].concat();
    let svhn = mat(
        &[
            mat_matrix("X", &[2, 2, 3, 2], &[7; 24]),
            mat_matrix("y", &[2, 1], &[1, 10]),
        ],
        true,
    );
    Some(match format {
        "idx" => vec![
            ("train-images-idx3-ubyte", idx(&[3, 2, 2], &[1; 12])),
            ("train-labels-idx1-ubyte.gz", gzip(&idx(&[3], &[0, 1, 0]))),
        ],
        "cifar10" => vec![("data_batch_1.bin", cifar(&[&[3], &[9], &[3]]))],
        "cifar100" => vec![("train.bin", cifar(&[&[3, 99], &[2, 1], &[3, 99]]))],
        "kaldi" => vec![
            ("train/features.ark", speech()),
            ("train/pdfs.ark.gz", gzip(&labels())),
        ],
        "masks" => vec![
            ("train/images/1.png", gray(4, 4, 7)),
            ("train/masks/1.png", gray(4, 4, 1)),
            ("train/images/2.png", gray(4, 4, 9)),
            ("train/masks/2.png", gray(4, 4, 0)),
        ],
        "images" => vec![(
            "set.tar",
            tar(&[
                ("train/a/1.png", &gray(4, 4, 9)),
                ("train/b/2.png", &gray(4, 4, 0)),
            ]),
        )],
        "svhn" => vec![("train_32x32.mat", svhn)],
        "numpy" => vec![("set.npz", golden::bytes(golden::NPZ))],
        "csv" => vec![("t.csv", b"a,b,c\n1,2,x\n3,4,y\n5,6,x\n".to_vec())],
        "text" => vec![("t.train.txt", b"a few words that come again, ".repeat(40))],
        _ => return None,
    })
}

/// Writes the files into a folder; returns what to open: the folder, or the archive that is all it
/// holds.
pub fn put(here: &Path, files: &Files) -> PathBuf {
    for (name, bytes) in files {
        write(here, name, bytes);
    }
    match files.as_slice() {
        [(name, _)] if name.ends_with(".tar") => here.join(name),
        _ => here.to_owned(),
    }
}
