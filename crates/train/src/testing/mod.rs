//! Small stand-ins for the other rooms, for this crate's tests and others': a network written out
//! by hand, examples made up on the spot, and a group of threads.

mod examples;
mod group;
mod linear;
mod network;

pub use examples::Blobs;
pub use group::ThreadGroup;
pub use linear::{LinearFactory, LinearNetwork};
pub use network::{TinyFactory, TinyNetwork};
