//! Reprise turns what an agent did once into something that runs by itself, safely, forever after.
//!
//! The modules stand in the order in which a newcomer should read them; an arrow of `use` only ever
//! points down the list. See `docs/ARCHITECTURE.md` for the bird's eye view.

pub mod cli;
pub mod http;
pub mod engine;
pub mod bundles;
pub mod lifecycle;
pub mod jobs;
pub mod evidence;
pub mod planner;
pub mod compiler;
pub mod config;
pub mod tools;
pub mod secrets;
pub mod sandbox;
pub mod runs;
pub mod journal;
pub mod store;

pub mod blocking;
pub mod checks;
pub mod clock;
pub mod contract;
pub mod error;
pub(crate) mod fields;
pub mod ids;
pub mod json;
pub mod limits;
pub mod metrics;
pub(crate) mod outbound;
pub mod rules;
pub mod spans;
