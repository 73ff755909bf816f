//! Bounds of what is known of playbooks: their evidence, their policies, and how they are found.

use std::time::Duration;

/// Pieces of evidence that a decision looks back at: more would change none, and a look stays below a few milliseconds.
pub const EVIDENCE_LOOK_BACK: usize = 500;
/// Seconds of `min_age_s` in a policy: ten years, beyond which nobody waits.
pub const POLICY_AGE_S_MAX: u64 = 10 * 366 * 24 * 3600;
/// Versions that a decision looks back at for the last good one.
pub const VERSIONS_LOOK_BACK: usize = 100;
/// Time between two looks at what there is to consider while jobs are ending: many ends make one look.
pub const CONSIDER_PAUSE: Duration = Duration::from_millis(20);
/// Time between two looks while nothing ends: what another process left is found then.
pub const CONSIDER_TICK: Duration = Duration::from_secs(1);
/// Looks in quick succession after a job has ended: its last entry is on disk by then.
pub const CONSIDER_LOOKS: u32 = 25;
/// Playbooks that one look takes up; the next look follows at once.
pub const CONSIDERED_AT_ONCE: usize = 64;
/// Changes of status that one look makes of a playbook: from draft to shadow to active and back, and some to spare.
pub const CHANGES_AT_ONCE: usize = 8;
/// Characters of a failure's words in a piece of evidence: enough to know it again.
pub const EVIDENCE_WHY_CHARS_MAX: usize = 500;
/// Playbooks that a match tells of.
pub const MATCHES_MAX: usize = 50;
/// Playbooks that a match tells of where the client does not say: what one reads at a glance.
pub const MATCHES_DEFAULT: usize = 5;
/// Words of a goal and a context that are looked up: more do not make a task clearer, and each costs a list of playbooks.
pub const MATCH_WORDS_MAX: usize = 256;
/// Versions of one playbook that wait for a review: beyond that nobody is looking, and the playbook's row, which names them,
/// stays small.
pub const REVIEWS_PENDING_MAX: usize = 100;
/// Words of one playbook that are held in memory for matching: twice as many as anybody asks for at once.
pub const MATCH_TEXT_WORDS_MAX: usize = 512;
/// Bytes of a word that is held for matching: what is longer is no word that anybody types.
pub const MATCH_WORD_BYTES_MAX: usize = 64;
/// Spaces whose words are held in memory for matching, those that have playbooks. An index of 10,000 playbooks with some dozens of
/// words each takes about 10 MB. Where each has as many words as are held, that is some 80 MB while they share them, and up to 1 GB
/// where no two have one in common. It is built again in less than a second when it is asked for; a server with more busy spaces
/// than this has that second now and then.
pub const MATCH_SPACES_MAX: usize = 32;
/// Playbooks of one space that are held in memory for matching, those that may be proposed: five times what a look-up is measured
/// with. What is beyond is not found, and the answer says how many that are.
pub const MATCH_PLAYBOOKS_MAX: usize = 50_000;
/// Playbooks that are looked at for those that may be proposed, when a space's index is built: a second or so.
pub const MATCH_ROWS_MAX: usize = 200_000;
/// Milliseconds for which it is believed how a component's jobs went though the newest piece of evidence is the same.
pub const MATCH_RECORD_MS_MAX: u64 = 10_000;
/// Playbooks noted as written since an index was last asked for; with more all indexes are built anew.
pub const CHANGED_PLAYBOOKS_MAX: usize = 10_000;
/// Components of which it is held in memory how their jobs went, a few hundred bytes each.
pub const MATCH_RECORDS_MAX: usize = 10_000;
/// Recordings that a component was proved against or rehearsed on and that a decision looks at: twice as many as one playbook is
/// learned from at the most, for those that were spliced in since.
pub const RECORDINGS_LOOK_BACK: usize = 500;
/// Rows that a list looks at in one request for those that a filter takes. A page that found few by then ends with a cursor that
/// goes on behind them: some ten milliseconds, and not a walk over all there is.
pub const FILTERED_ROWS_MAX: usize = 5_000;
