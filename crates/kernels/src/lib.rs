//! CPU kernels for training: fused channels-last convolutions, pooling and normalisation
