//! Optimisers on flat parameters with a table of layers
