use serde::Serialize;

/// A data set that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Its name, as [`fetch`](crate::fetch()) takes it.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Bytes to download.
    pub bytes: u64,
    /// Its license, as its publisher states it.
    pub license: &'static str,
    /// Its home page.
    pub home: &'static str,
    /// Folders from which it is served, the publisher's first.
    pub addresses: &'static [&'static str],
    /// Its files.
    pub files: &'static [RemoteFile],
}

/// A file to download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RemoteFile {
    /// Its name at the address and in the folder.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its published MD5, in hexadecimal.
    pub md5: &'static str,
}

const fn file(name: &'static str, bytes: u64, md5: &'static str) -> RemoteFile {
    RemoteFile { name, bytes, md5 }
}

/// Where each checksum comes from, and a second place that states the same value:
///
/// * MNIST: torchvision's `datasets/mnist.py`; MindCV's `data/dataset_download.py`.
/// * Fashion-MNIST: the table in the publisher's README; torchvision's `datasets/mnist.py`.
/// * CIFAR-10 and CIFAR-100: the binary versions, by the tables on the publisher's page (`home`);
///   MindCV's `data/dataset_download.py`, which fetches the same archives. torchvision's own sums
///   are of the Python pickles, which are other files.
/// * SVHN: torchvision's `datasets/svhn.py`; the publisher states none, and no second source that
///   is independent of torchvision is known.
const KNOWN: [Known; 5] = [
    Known {
        name: "mnist",
        what: "70,000 handwritten digits, 28×28 gray",
        bytes: 11_594_722,
        license: "CC BY-SA 3.0",
        home: "http://yann.lecun.com/exdb/mnist/",
        addresses: &[
            "http://yann.lecun.com/exdb/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ],
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "d53e105ee54ea40749a09fcbcd1e9432",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "9fb629c4189551a2d022fa330f9573f3",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ],
    },
    Known {
        name: "fashion-mnist",
        what: "70,000 pictures of clothes, 28×28 gray",
        bytes: 30_878_645,
        license: "MIT",
        home: "https://github.com/zalandoresearch/fashion-mnist",
        addresses: &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
        files: &[
            file(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            ),
            file(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "25c81989df183df01b3e8a0aad5dffbe",
            ),
            file(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "bef4ecab320f06d8554ea6380940ec79",
            ),
            file(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ],
    },
    Known {
        name: "cifar10",
        what: "60,000 photographs of 10 classes, 32×32 RGB",
        bytes: 170_052_171,
        license: "not stated; cite Krizhevsky 2009",
        home: "https://www.cs.toronto.edu/~kriz/cifar.html",
        addresses: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[file(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c32a1d4ab5d03f1284b67883e8d87530",
        )],
    },
    Known {
        name: "cifar100",
        what: "60,000 photographs of 100 classes, 32×32 RGB",
        bytes: 168_513_733,
        license: "not stated; cite Krizhevsky 2009",
        home: "https://www.cs.toronto.edu/~kriz/cifar.html",
        addresses: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[file(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "03b5dce01913d631647c71ecec9e9cb8",
        )],
    },
    Known {
        name: "svhn",
        what: "99,289 house-number digits, 32×32 RGB",
        bytes: 246_316_178,
        license: "non-commercial use",
        home: "http://ufldl.stanford.edu/housenumbers",
        addresses: &["http://ufldl.stanford.edu/housenumbers/"],
        files: &[
            file(
                "train_32x32.mat",
                182_040_794,
                "e26dedcc434d2e4c54c9b2d4a06d8373",
            ),
            file(
                "test_32x32.mat",
                64_275_384,
                "eb5a983be6a315427106f1b164d9cef3",
            ),
        ],
    },
];

/// The data sets that [`crate::fetch`] knows.
pub fn list() -> &'static [Known] {
    &KNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_whole() {
        for known in list() {
            assert_eq!(
                known.bytes,
                known.files.iter().map(|file| file.bytes).sum::<u64>(),
                "{}",
                known.name
            );
            assert!(known.addresses.iter().all(|address| address.ends_with('/')));
            assert!(known.files.iter().all(
                |file| file.md5.len() == 32 && file.md5.bytes().all(|b| b.is_ascii_hexdigit())
            ));
        }
    }
}
