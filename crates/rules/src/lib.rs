//! Batch-size and learning-rate rules: scaling, warm-up, decay. Pure
