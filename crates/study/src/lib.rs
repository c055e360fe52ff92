//! The study: plan, planner, trial store, runner and resume
