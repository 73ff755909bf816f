//! Black-box tests through the CLI, HTTP and the engine: one binary, a module per behaviour.

mod store_survives_kill;
mod store_stops_after_a_refused_write;
