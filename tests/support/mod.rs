//! What several tests need.

pub mod chat;
pub mod cli;
pub mod counter;
pub mod documented;
pub mod dying;
pub mod graphs;
pub mod guests;
pub mod held;
pub mod layout;
pub mod packages;
pub mod page;
pub mod recorded;
pub mod recorder;
pub mod server;
pub mod site;
pub mod toolchains;
pub mod walls;
