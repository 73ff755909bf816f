//! Bounds of what may be asked of a step and of its answer, and of the schemas that a guest hands in.

/// Bytes of one check as JSON: a path, a pattern or a small schema, as a person would write it down.
pub const CHECK_BYTES_MAX: usize = 16 * 1024;
/// Bytes that a check's pattern may take in memory once it is compiled: matching takes time in proportion to it and to the text.
pub const CHECK_PATTERN_BYTES_MAX: usize = 64 * 1024;
/// Characters of the reason of a verdict: a line or two that a person reads.
pub const CHECK_WHY_CHARS_MAX: usize = 500;
/// Characters of a value within such a reason.
pub const CHECK_VALUE_CHARS_MAX: usize = 150;
/// How long a job waits for a verdict about an answer. The bounds below make it seconds at the worst; a busy machine takes longer.
pub const CHECK_JUDGED_MS_MAX: u64 = 20_000;

/// Schemas within a schema, and values that it lists: the largest that people write have some hundreds.
pub const SHAPE_SCHEMAS_MAX: usize = 4_000;
/// Patterns of one schema: together with the bound on each, they take 16 MB at most.
pub const SHAPE_PATTERNS_MAX: usize = 64;
/// Bytes that one of its patterns may take once it is compiled; a class of all letters takes about 20 KB.
pub const SHAPE_PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Times that a schema may say what no other of its parts looked at: each within another doubles the work.
pub const SHAPE_LOOKS_AGAIN_MAX: usize = 4;
/// Values that are looked at, times the schemas that each may be held against: a few seconds at the very most.
pub const SHAPE_WORK_MAX: usize = 50_000_000;
/// Places that a guest is told of where a document does not fit: what is wrong in more is wrong in the same way.
pub const GUEST_MISFITS_MAX: usize = 20;
