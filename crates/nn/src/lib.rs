//! Models on burn, their losses, and the Network they implement
