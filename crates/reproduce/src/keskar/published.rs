//! What the paper reports: tables 2 and 3, means over five runs.

/// A network's published means, small batch first, then large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The paper's name of the network.
    pub network: &'static str,
    /// What it is and on what it is trained.
    pub about: &'static str,
    /// Test accuracy in per cent.
    pub test_accuracy: [f64; 2],
    /// φ in the full space at ε = 1e-3.
    pub full: [f64; 2],
    /// φ in the full space at ε = 5e-4.
    pub full_half: [f64; 2],
    /// φ in a random subspace of 100 dimensions at ε = 1e-3.
    pub random: [f64; 2],
    /// φ in a random subspace of 100 dimensions at ε = 5e-4.
    pub random_half: [f64; 2],
}

/// The distance of the small-batch minimum from its start over that of the large-batch one.
pub(crate) const DISTANCE_RATIO: [f64; 2] = [3.0, 10.0];

/// The published table.
#[allow(clippy::approx_constant)] // 6.28 is what they measured
pub const PUBLISHED: [Published; 6] = [
    Published {
        network: "f1",
        about: "fully connected, MNIST",
        test_accuracy: [98.03, 97.81],
        full: [1.23, 205.14],
        full_half: [0.61, 42.90],
        random: [0.11, 9.22],
        random_half: [0.05, 9.17],
    },
    Published {
        network: "f2",
        about: "fully connected, TIMIT",
        test_accuracy: [64.02, 59.45],
        full: [1.39, 310.64],
        full_half: [0.90, 93.15],
        random: [0.29, 23.63],
        random_half: [0.05, 6.28],
    },
    Published {
        network: "c1",
        about: "shallow convolutional, CIFAR-10",
        test_accuracy: [80.04, 77.26],
        full: [28.58, 707.23],
        full_half: [7.08, 227.31],
        random: [2.18, 137.25],
        random_half: [0.71, 29.50],
    },
    Published {
        network: "c2",
        about: "deep convolutional, CIFAR-10",
        test_accuracy: [89.24, 87.26],
        full: [8.68, 925.32],
        full_half: [2.07, 175.31],
        random: [0.95, 25.09],
        random_half: [0.31, 5.82],
    },
    Published {
        network: "c3",
        about: "shallow convolutional, CIFAR-100",
        test_accuracy: [49.58, 46.45],
        full: [29.85, 258.75],
        full_half: [8.56, 105.11],
        random: [17.02, 236.03],
        random_half: [4.03, 86.96],
    },
    Published {
        network: "c4",
        about: "deep convolutional, CIFAR-100",
        test_accuracy: [63.08, 57.81],
        full: [12.83, 421.84],
        full_half: [4.07, 109.35],
        random: [6.05, 72.99],
        random_half: [1.89, 19.85],
    },
];

impl Published {
    /// The row of a network.
    pub fn of(network: &str) -> Option<&'static Self> {
        PUBLISHED.iter().find(|row| row.network == network)
    }
}
