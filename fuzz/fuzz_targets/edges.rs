//! A graph of replicas from a text of edges.
#![no_main]

use batchscope_group::topology::Topology;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (members, text) = input;
    if let Ok(topology) = Topology::from_edges(text, usize::from(members % 300)) {
        let sum: f64 = topology.weights(0, 0).iter().map(|(_, weight)| weight).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
});
