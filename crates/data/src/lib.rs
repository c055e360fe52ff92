//! Data sets: readers, checks, splits, and batching with a reproducible order
