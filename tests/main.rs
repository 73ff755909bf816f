//! Black-box tests through the CLI, HTTP and the engine: one binary, a module per behaviour.
