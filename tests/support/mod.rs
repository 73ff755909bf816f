//! What several tests need.

pub mod documented;
pub mod server;
