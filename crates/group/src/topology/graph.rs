//! Undirected graphs: their Metropolis-Hastings weights, their paths and their sides.

use super::matrix::Matrix;

/// The neighbors of each node. No edge stands twice, and none joins a node to itself.
pub(super) struct Graph {
    neighbors: Vec<Vec<usize>>,
}

impl Graph {
    /// A graph of these edges, whose nodes are below `members`.
    pub(super) fn new(members: usize, edges: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut neighbors = vec![Vec::new(); members];
        for (a, b) in edges {
            neighbors[a].push(b);
            neighbors[b].push(a);
        }
        Self { neighbors }
    }

    /// w_ij = 1/(1 + max(d_i, d_j)) for neighbors, and what is left of 1 for the node itself.
    pub(super) fn metropolis_hastings(&self) -> Matrix {
        let degree = |node: usize| self.neighbors[node].len();
        let mut edges = Vec::new();
        for (a, neighbors) in self.neighbors.iter().enumerate() {
            for &b in neighbors.iter().filter(|b| **b > a) {
                edges.push((a, b, 1.0 / (1 + degree(a).max(degree(b))) as f64));
            }
        }
        Matrix::of_edges(self.neighbors.len(), &edges)
    }

    /// Each node's number of edges from node 0 on a shortest path; `None` where there is no path.
    fn distances(&self) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.neighbors.len()];
        let (mut reached, mut next) = (vec![0], 0);
        distances[0] = Some(0);
        while let Some(&node) = reached.get(next) {
            next += 1;
            for &neighbor in &self.neighbors[node] {
                if distances[neighbor].is_none() {
                    distances[neighbor] = distances[node].map(|distance: usize| distance + 1);
                    reached.push(neighbor);
                }
            }
        }
        distances
    }

    /// The smallest node that no path joins to node 0.
    pub(super) fn apart(&self) -> Option<usize> {
        self.distances().iter().position(Option::is_none)
    }

    /// True if the nodes fall into two sides, and every edge joins one side to the other.
    pub(super) fn is_bipartite(&self) -> bool {
        let distances = self.distances();
        let side = |node: usize| distances[node].map(|distance| distance % 2);
        let mut edges = self.neighbors.iter().enumerate();
        edges.all(|(a, neighbors)| neighbors.iter().all(|&b| side(a) != side(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_sides_are_found() {
        let graph = |members, edges: &[(usize, usize)]| Graph::new(members, edges.iter().copied());
        let square = graph(4, &[(0, 1), (1, 2), (2, 3), (3, 0)]);
        assert!(square.apart().is_none() && square.is_bipartite());
        let triangle = graph(3, &[(0, 1), (1, 2), (2, 0)]);
        assert!(triangle.apart().is_none() && !triangle.is_bipartite());
        assert_eq!(graph(5, &[(0, 4), (1, 2)]).apart(), Some(1));
        assert!(graph(1, &[]).apart().is_none());
    }
}
