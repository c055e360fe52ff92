//! The training loop: accumulation, augmentation, checkpoints, and the built-in trainer
