//! What several tests need.

pub mod documented;
pub mod page;
pub mod server;
