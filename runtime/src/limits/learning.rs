//! Bounds of learning from several runs: the search for what explains them all must end, and soon.

/// Runs that are compiled together. What twenty do not settle, a further one will not.
pub const LEARN_RUNS_MAX: usize = 32;
/// Runs from which on each is also held against a plan that was learned without it: three that agree are the least that is worth one.
pub const LEARN_HELD_OUT_RUNS_MIN: usize = 4;
/// Calls of all runs together up to which each run is held against a plan that was learned without it. That is one more learning for
/// each run: five runs of 200 steps would take six times as long, and nobody waits that long for what only says how sure it is.
pub const LEARN_HELD_OUT_CALLS_MAX: usize = 400;
/// Values taken from one input or answer while learning; a listing of thousands of files explains nothing.
pub const LEARN_VALUES_PER_ANSWER_MAX: usize = 512;
/// Values that rules make of known ones, in all; what is found among more of them was found by accident.
pub const LEARN_DERIVED_MAX: usize = 20_000;
/// Values that rules make of one known value.
pub const LEARN_DERIVED_PER_VALUE_MAX: usize = 400;
/// Bytes of a text that is taken apart or put together; longer ones are compared as a whole.
pub const LEARN_SEARCHED_BYTES_MAX: usize = 64 * 1024;
/// Known texts in which a value is looked for.
pub const LEARN_SEARCHED_TEXTS_MAX: usize = 256;
/// Places looked at while one text is put together; texts of a few pages take a few thousand.
pub const LEARN_COMPOSE_PLACES_MAX: usize = 20_000;
/// Loops and ways that are tried for one playbook, so that no runs take for ever.
pub const LEARN_TRIES_MAX: usize = 2_000;
/// Loops and ways within each other.
pub const LEARN_NESTING_MAX: usize = 3;
/// Steps of a block that is looked for as a turn of a loop, or as one of two ways.
pub const LEARN_BLOCK_STEPS_MAX: usize = 12;
/// Turns of a loop from which its body is learned; the proof holds it against all.
pub const LEARN_TURNS_MAX: usize = 48;
/// Lists that a loop may go through, at one place.
pub const LEARN_LISTS_MAX: usize = 256;
/// Things that the turns of one loop could give.
pub const LEARN_GATHERED_MAX: usize = 24;
/// Checks that are inferred for one step; more would say the same in other words.
pub const LEARN_CHECKS_MAX: usize = 32;
/// Questions that may tell two ways apart, at one place.
pub const LEARN_PARTINGS_MAX: usize = 64;
