//! Small stand-ins for the other rooms, for this crate's tests and others': networks written out
//! by hand, and examples made up on the spot.

mod examples;
mod linear;
mod network;

pub use examples::Blobs;
pub use linear::{LinearFactory, LinearNetwork};
pub use network::{TinyFactory, TinyNetwork};
