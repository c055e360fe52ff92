//! The files: good ones, and what can be wrong with them.

use crate::support::{
    cifar, golden, gray, gzip, idx, kaldi_labels, kaldi_matrix, mat, mat_element, mat_matrix, npy,
    png, tar, zip, zlib,
};

/// A good file for each reader: what mutations start from.
pub fn good(name: &str) -> Vec<u8> {
    let mat_file = || {
        mat(
            &[
                mat_matrix("X", &[2, 2, 3, 2], &[7; 24]),
                mat_matrix("y", &[2, 1], &[1, 10]),
            ],
            true,
        )
    };
    match name {
        "idx" => gzip(&idx(&[2, 2, 2], &[1; 8])),
        "cifar10" => cifar(&[&[3], &[9]]),
        "cifar100" => cifar(&[&[3, 99]]),
        "image" => gray(4, 4, 9),
        "mask" => gray(4, 4, 2),
        "archive" => gzip(&tar(&[("train/a/1.png", &gray(4, 4, 9)), ("x", b"y")])),
        "mat" => mat_file(),
        "npy" => npy("<f4", true, "(2, 2)", &[0; 16]),
        "npz" => golden::bytes(golden::NPZ),
        "kaldi" => [
            kaldi_matrix("u", 2, &[1.0, 2.0, 3.0, 4.0]),
            kaldi_labels("u", &[0, 1]),
            b"v [ 1 2\n 3 4 ]\nv 1 0\n".to_vec(),
        ]
        .concat(),
        "csv" => b"a,b,c\n1,2,x\n3,4,y\n".to_vec(),
        other => panic!("no good file for {other}"),
    }
}

/// A PNG whose header claims another size than its data has.
fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(1, 1, image::ExtendedColorType::L8, &[0]);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

/// A gzip member that inflates to `length` zeros after `start`.
fn bomb(start: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.resize(start.len() + length, 0);
    gzip(&bytes)
}

/// Reader, bytes, and a part of the error it must give.
pub fn catalog() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let huge = u32::MAX;
    let mut wrong_crc = gzip(&idx(&[1, 2, 2], &[1; 4]));
    let crc = wrong_crc.len() - 5;
    wrong_crc[crc] ^= 1;
    let mut gzip_garbage = gzip(&idx(&[1, 2, 2], &[1; 4]));
    gzip_garbage.extend(b"garbage");
    let cut = |bytes: Vec<u8>, by: usize| bytes[..bytes.len() - by].to_vec();
    let joined = |mut a: Vec<u8>, b: &[u8]| {
        a.extend(b);
        a
    };
    let promise = |kind: u32, bytes: u32| [kind.to_le_bytes(), bytes.to_le_bytes()].concat();
    let compressed_promise = {
        let packed = zlib(&promise(14, huge));
        let mut element = promise(15, packed.len() as u32);
        element.extend(packed);
        element
    };
    let matrix_of = |flags: &[u8], sizes: &[u8], real: Vec<u8>| {
        let body = [
            mat_element(6, flags),
            mat_element(5, sizes),
            mat_element(1, b"X"),
            real,
        ]
        .concat();
        mat(&[mat_element(14, &body)], false)
    };
    let npz_with = |name: &str, member: &[u8]| zip(&[(name, member)], true);
    vec![
        // IDX
        ("idx", vec![], "truncated"),
        ("idx", b"\x89PNG....".to_vec(), "does not begin like IDX"),
        (
            "idx",
            vec![0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0],
            "type code 0x0d",
        ),
        ("idx", vec![0, 0, 8, 200], "200 dimensions"),
        ("idx", vec![0, 0, 8, 0], "0 dimensions"),
        ("idx", vec![0, 0, 8, 3, 0, 0], "truncated"),
        (
            "idx",
            idx(&[huge, huge, huge], &[0; 10]),
            "more than the file can hold",
        ),
        (
            "idx",
            idx(&[huge, huge, huge, huge], &[0; 10]),
            "more than the file can hold",
        ),
        (
            "idx",
            gzip(&idx(&[60_000, 28, 28], &[0; 10])),
            "more than the file can hold",
        ),
        (
            "idx",
            idx(&[10, 28, 28], &[0; 7839]),
            "7840 bytes, 7839 are there",
        ),
        ("idx", gzip(&idx(&[40, 2, 2], &[0; 159])), "truncated"),
        (
            "idx",
            idx(&[1, 2, 2], &[0; 5]),
            "more bytes than its header promises",
        ),
        (
            "idx",
            bomb(&idx(&[1, 2, 2], &[0; 4]), 20 << 20),
            "more bytes than its header promises",
        ),
        (
            "idx",
            cut(gzip(&idx(&[1, 2, 2], &[0; 4])), 9),
            "cannot be decompressed",
        ),
        ("idx", wrong_crc, "cannot be decompressed"),
        ("idx", gzip_garbage, "cannot be decompressed"),
        // CIFAR
        ("cifar10", vec![], "not a whole number of records"),
        (
            "cifar10",
            cut(cifar(&[&[1], &[2]]), 1),
            "not a whole number of records",
        ),
        (
            "cifar10",
            cifar(&[&[1], &[10]]),
            "record 1 has label 10 of 10 classes",
        ),
        ("cifar100", cifar(&[&[1]]), "not a whole number of records"),
        ("cifar100", cifar(&[&[1, 100]]), "label 100"),
        // Images
        ("mask", vec![], "cannot be decoded"),
        ("mask", cut(gray(4, 4, 1), 20), "cannot be decoded"),
        ("mask", png_claiming(4, 4), "cannot be decoded"),
        ("mask", gray(5, 4, 1), "is 4×5, its image 4×4"),
        ("mask", gray(4, 4, 255), "labels no pixel"),
        (
            "mask",
            png(4, 4, image::ExtendedColorType::Rgb8, &[1; 48]),
            "save masks as PNG files",
        ),
        (
            "mask",
            png(4, 4, image::ExtendedColorType::L16, &[1; 32]),
            "save masks as PNG files",
        ),
        ("image", vec![], "cannot be decoded"),
        (
            "image",
            b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".to_vec(),
            "cannot be decoded",
        ),
        ("image", cut(gray(4, 4, 1), 20), "cannot be decoded"),
        ("image", gray(5, 4, 1), "4×5"),
        (
            "image",
            png_claiming(huge >> 1, huge >> 1),
            "cannot be decoded",
        ),
        ("image", png_claiming(4, 4), "cannot be decoded"),
        ("image", png_claiming(0, 0), "cannot be decoded"),
        (
            "image",
            b"\xff\xd8\xff\xe0\x00\x10JFIF".to_vec(),
            "cannot be decoded",
        ),
        // Archives
        (
            "archive",
            b"neither tar nor gzip".repeat(60),
            "not a whole tar archive",
        ),
        (
            "archive",
            cut(tar(&[("a.png", &[7; 2000])]), 2500),
            "truncated",
        ),
        (
            "archive",
            cut(gzip(&tar(&[("a.png", &gray(4, 4, 3))])), 12),
            "not a whole tar archive",
        ),
        ("archive", tar_claiming(1 << 40), "above the limit"),
        ("archive", tar_claiming(1 << 28), "truncated"),
        ("archive", long_name_bomb(), "above the limit"),
        // MAT-files
        ("mat", vec![], "less than the header"),
        ("mat", vec![0; 128], "not a MAT-file of version 5"),
        (
            "mat",
            joined(vec![b' '; 124], &[1, 0, b'M', b'I']),
            "big-endian",
        ),
        ("mat", mat(&[], false), "no arrays X and y"),
        (
            "mat",
            joined(mat(&[], false), &promise(14, huge)),
            "truncated",
        ),
        ("mat", joined(mat(&[], false), &[1, 2, 3]), "truncated"),
        (
            "mat",
            joined(mat(&[], false), &compressed_promise),
            "more than it can hold",
        ),
        (
            "mat",
            joined(mat(&[], false), &promise(15, 0)),
            "cannot be decompressed",
        ),
        (
            "mat",
            joined(mat(&[], false), &[15, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4]),
            "cannot be decompressed",
        ),
        (
            "mat",
            mat(
                &[mat_matrix("X", &[huge, huge, huge, huge], &[0; 8])],
                false,
            ),
            "takes",
        ),
        (
            "mat",
            mat(&[mat_matrix("X", &[2, 2, 3, 2], &[0; 23])], true),
            "takes 24 bytes, 23 are there",
        ),
        (
            "mat",
            matrix_of(
                &[9, 0, 0, 0, 0, 0, 0, 0],
                &[1, 0, 0, 0],
                mat_element(2, &[0]),
            ),
            "no sensible dimensions",
        ),
        (
            "mat",
            matrix_of(&[9, 0], &[1, 0, 0, 0, 1, 0, 0, 0], mat_element(2, &[0])),
            "no flags",
        ),
        (
            "mat",
            matrix_of(
                &[9, 0, 0, 0, 0, 0, 0, 0],
                &[1, 0, 0, 0, 1, 0, 0, 0],
                mat_element(77, &[0]),
            ),
            "unknown type 77",
        ),
        (
            "mat",
            mat(
                &[
                    mat_matrix("X", &[2, 2, 3, 2], &[0; 24]),
                    mat_matrix("y", &[3, 1], &[1; 3]),
                ],
                true,
            ),
            "3 labels for 2 images",
        ),
        (
            "mat",
            mat(
                &[
                    mat_matrix("X", &[2, 2, 3, 1], &[0; 12]),
                    mat_matrix("y", &[1, 1], &[11]),
                ],
                true,
            ),
            "no digit",
        ),
        (
            "mat",
            mat(
                &[
                    mat_matrix("X", &[2, 2], &[0; 4]),
                    mat_matrix("y", &[1, 1], &[1]),
                ],
                true,
            ),
            "must be bytes",
        ),
        (
            "mat",
            mat(
                &[
                    mat_matrix("X", &[0, 2, 3, 0], &[]),
                    mat_matrix("y", &[0, 1], &[]),
                ],
                false,
            ),
            "holds no images",
        ),
        // NumPy
        ("npy", vec![], "NumPy header"),
        ("npy", b"\x93NUMPY\x09\x00\x10\x00".to_vec(), "NumPy header"),
        (
            "npy",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec(),
            "its header should have",
        ),
        (
            "npy",
            npy("<f4", false, "(2, 2)", &[0; 15]),
            "takes 16 bytes, 15 are there",
        ),
        (
            "npy",
            npy("<f4", false, "(2, 2)", &[0; 17]),
            "takes 16 bytes, 17 are there",
        ),
        (
            "npy",
            npy(
                "<f4",
                false,
                "(18446744073709551615, 18446744073709551615)",
                &[0; 4],
            ),
            "takes",
        ),
        (
            "npy",
            npy("<f4", false, "(99999999999999999999999,)", &[]),
            "not a dictionary",
        ),
        ("npy", npy("<f4", false, "(-1,)", &[]), "not a dictionary"),
        (
            "npy",
            npy("|O", false, "(1,)", &[0; 8]),
            "values of type '|O'",
        ),
        (
            "npy",
            npy("<U5", false, "(1,)", &[0; 20]),
            "values of type '<U5'",
        ),
        ("npy", npy("<c8", false, "(1,)", &[0; 8]), "values of type"),
        ("npy", npy("<u8", false, "(1,)", &[255; 8]), "above 2^63"),
        ("npz", vec![], "not a whole .npz"),
        (
            "npz",
            b"PK\x03\x04 and nothing".to_vec(),
            "not a whole .npz",
        ),
        ("npz", cut(good("npz"), 30), "not a whole .npz"),
        (
            "npz",
            npz_with("a.npy", &npy("|u1", false, "(1,)", &[0])),
            "no arrays named",
        ),
        (
            "npz",
            npz_with("x.npy", &npy("|u1", false, "(1, 1)", &[0])),
            "inputs without labels",
        ),
        (
            "npz",
            npz_with("y.npy", &npy("|u1", false, "(1,)", &[0])),
            "inputs without labels",
        ),
        (
            "npz",
            npz_with("x.npy", &npy("|u1", false, "(0, 1)", &[])),
            "numbers the examples",
        ),
        (
            "npz",
            npz_with("x.npy", &npy("|u1", false, "(1, 0)", &[])),
            "examples are empty",
        ),
        (
            "npz",
            npz_with("x.npy", &npy("|u1", false, "(1, 1, 1, 7)", &[0; 7])),
            "has shape",
        ),
        (
            "npz",
            npz_with(
                "x.npy",
                &npy("<f4", false, "(1, 1)", &f32::NAN.to_le_bytes()),
            ),
            "NaN",
        ),
        ("npz", npz_with("x.npy", b"\x93NUMPY"), "NumPy header"),
        // Tables
        ("csv", vec![], "is empty"),
        ("csv", b"1\n2\n".to_vec(), "one column"),
        ("csv", b"a,b\n".to_vec(), "no rows"),
        ("csv", b"1,2\n1,2,3\n".to_vec(), "not a table"),
        ("csv", b"1,2\n\xff,3\n".to_vec(), "not a table"),
        (
            "csv",
            b"1,2\nnan,3\n".to_vec(),
            "line 2, column 1: 'nan' is not a finite number",
        ),
        ("csv", b"1,2\n,3\n".to_vec(), "'' is not a finite number"),
        ("csv", b"1,2\n1,\n".to_vec(), "no label in line 2"),
        ("kaldi", b"u".to_vec(), "no key"),
        ("kaldi", vec![b'k'; 2000], "no key"),
        ("kaldi", b"\xff\xfe 1 2\n".to_vec(), "no key"),
        ("kaldi", b"u \0B".to_vec(), "neither a matrix"),
        (
            "kaldi",
            b"u \0BFV \x04\x01\0\0\0\0\0\0\0".to_vec(),
            "vector of real numbers",
        ),
        ("kaldi", b"u \0BSM \x04\x01\0\0\0".to_vec(), "of kind 'SM'"),
        (
            "kaldi",
            b"u \0BFM \x08\x01\0\0\0".to_vec(),
            "no 32-bit rows",
        ),
        (
            "kaldi",
            b"u \0BFM \x04\xff\xff\xff\xff\x04\x01\0\0\0".to_vec(),
            "promises -1 rows",
        ),
        (
            "kaldi",
            b"u \0BDM \x04\xff\xff\xff\x7f\x04\xff\xff\xff\x7f".to_vec(),
            "promises 2147483647 × 2147483647 values",
        ),
        (
            "kaldi",
            cut(kaldi_matrix("u", 2, &[1.0, 2.0]), 1),
            "8 bytes should follow, 7 are",
        ),
        (
            "kaldi",
            kaldi_matrix("u", 2, &[1.0, f32::NAN]),
            "NaN in row 1",
        ),
        (
            "kaldi",
            b"u \0BCM \0\0\0\0\0\0\0\0\x01\0\0\0\xff\xff\xff\x7f".to_vec(),
            "bytes should follow",
        ),
        (
            "kaldi",
            b"u \0BCM2 \0\0\0\0\0\0\x80\x7f\x01\0\0\0\x01\0\0\0\x01\0".to_vec(),
            "inf in row 1",
        ),
        (
            "kaldi",
            b"u \0B\x04\x02\0\0\0\x04\0\0\0\0\x08\0\0\0\0".to_vec(),
            "other than 32",
        ),
        ("kaldi", b"u [ 1 2\n".to_vec(), "no end"),
        ("kaldi", b"u [ 1 2\n 3 ]\n".to_vec(), "rows of 2 and of 1"),
        (
            "kaldi",
            b"u [\n 1 x ]\n".to_vec(),
            "'x' in place of a number",
        ),
        ("kaldi", b"u 1 2.5\n".to_vec(), "'2.5' in place of a number"),
        (
            "kaldi",
            b"u [ 1 2.5 ]\n".to_vec(),
            "'2.5' in place of a number",
        ),
        ("kaldi", b"u 1 2\n".to_vec(), "no features"),
        (
            "kaldi",
            b"u [\n 1 2 ]\n".to_vec(),
            "no frame of a training part has a label",
        ),
        (
            "kaldi",
            b"u [\n 1 2 ]\nu 1 2\n".to_vec(),
            "2 labels for the 1 frames",
        ),
        ("kaldi", b"u [\n 1 2 ]\nu [\n 1 2 ]\n".to_vec(), "already"),
        (
            "kaldi",
            kaldi_matrix("u", 4097, &[0.0; 4097]),
            "frames of 4097 numbers",
        ),
        ("kaldi", b"u [\n 1 2 ]\nu -1\n".to_vec(), "the label -1"),
        (
            "kaldi",
            b"u [\n 1 2 ]\nu 65536\n".to_vec(),
            "the label 65536",
        ),
        (
            "kaldi",
            b"u [\n 1 2 ]\nu 0\nv [\n 1 ]\nv 0\n".to_vec(),
            "frames of 1 numbers",
        ),
    ]
}

/// A tar header for a member larger than what follows.
fn tar_claiming(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("a.png").unwrap();
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A gzip'd archive whose member's name has 8 MiB.
fn long_name_bomb() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(8 << 20);
    header.set_cksum();
    bomb(header.as_bytes(), 8 << 20)
}
