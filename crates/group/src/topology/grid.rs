//! The grid: members stand in rows and columns, and mix with those beside, above and below. No side wraps around.
//!
//! The grid is as near to a square as the divisors of n allow: r rows and n/r columns, r being the largest divisor of n that
//! is at most √n. A prime number of members makes a path, which mixes slowly. Member i is in row ⌊i / (n/r)⌋. Corners have
//! fewer neighbors than others, hence Metropolis-Hastings weights.

use batchscope_core::Descriptor;

use super::{TopologyKind, graph::Graph};

pub(super) static GRID: TopologyKind = TopologyKind {
    descriptor: Descriptor {
        name: "grid",
        aliases: &[],
        about: "Neighbors on a plane grid, as near to a square as the number's divisors allow",
        source: "weights: Xiao, Boyd and Lall 2005",
        parameters: &[],
    },
    build: |_, members| {
        let columns = members / rows(members);
        let edges = (0..members).flat_map(|member| {
            let right = ((member + 1) % columns != 0).then_some((member, member + 1));
            let below = (member + columns < members).then_some((member, member + columns));
            right.into_iter().chain(below)
        });
        Ok(vec![Graph::new(members, edges).metropolis_hastings()])
    },
    gap: None,
};

/// The largest divisor of a positive number that is at most its square root.
fn rows(members: usize) -> usize {
    let divisors = (1..=members).take_while(|rows| rows * rows <= members);
    divisors
        .filter(|rows| members.is_multiple_of(*rows))
        .last()
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn grids_are_as_near_to_squares_as_divisors_allow() {
        for (members, rows) in [
            (1, 1),
            (2, 1),
            (6, 2),
            (7, 1),
            (12, 3),
            (16, 4),
            (65_536, 256),
        ] {
            assert_eq!(super::rows(members), rows, "{members}");
        }
    }
}
