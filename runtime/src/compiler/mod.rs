//! Runs in, proved components out: lift, emit, prove.
//!
//! It knows runs, tools and the sandbox; it does not know jobs, versions or where a component is kept. It must
//! stay true that no component leaves here that was not shown to reproduce its recording.

mod dataflow;
pub mod emit;
pub mod plan;
mod prove;
pub mod template;

