//! Bounds of what one page of a list looks at to find what it shows.

/// Runs that one page looks at: those that fit may be rare, and a request is to end soon.
pub const RUNS_LOOKED_AT_MAX: usize = 2_000;
/// Steps of those runs that one page looks at to find a tool: some tens of milliseconds.
pub const RUN_STEPS_LOOKED_AT_MAX: usize = 10_000;
/// Pieces of evidence that one page looks at, for the same reason.
pub const EVIDENCE_LOOKED_AT_MAX: usize = 5_000;
