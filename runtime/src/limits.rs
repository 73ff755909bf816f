//! Every bound, with the reason for its value. Nothing in this program is unbounded.

mod checks;
mod learning;
mod lists;
mod trust;

use std::time::Duration;

pub use checks::*;
pub use learning::*;
pub use lists::*;
pub use trust::*;

/// Visible characters in an id that a client chooses. Aionis uses UUIDs (36); 128 leaves room for readable ones.
pub const ID_CHARS_MAX: usize = 128;
/// Characters in a `scope`.
pub const SCOPE_CHARS_MAX: usize = 256;
/// Characters in a goal, a note or another line of text that people read.
pub const TEXT_CHARS_MAX: usize = 10_000;

/// Nesting of JSON that is accepted anywhere. serde_json stops at 128; agents' tool calls stay below 20,
/// and 64 leaves room for the levels that a request and the journal put around a value.
pub const JSON_DEPTH_MAX: usize = 64;
/// Nesting of one value inside a recorded run: two levels less, so that the line of a recording file that
/// carries it (`{"run":{"inputs":...}}`) is itself accepted when it is read back.
pub const RECORDED_DEPTH_MAX: usize = JSON_DEPTH_MAX - 2;
/// Bytes of one JSON value handed to or from a tool or a playbook: 1 MiB, the size up to which
/// copying it between host and guest stays well below the cost of one flush.
pub const JSON_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of an HTTP JSON body: one value of the largest size, escaped, and the fields around it.
pub const HTTP_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an uploaded component. Python and JavaScript guests take 12 to 20 MB.
pub const COMPONENT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Time a client may take to send its whole request; a slower one holds a connection for nothing.
pub const HTTP_REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// Time in which a connection must bring its next request and get it answered: [`HTTP_REQUEST_TIME_MAX`] for the
/// body, [`WAIT_MS_MAX`] for the job, and 10 s to spare. It also ends clients that never finish their headers.
pub const HTTP_SILENCE_MAX: Duration = Duration::from_secs(120);
/// Bytes of a body beyond its limit that are read and thrown away, so that a client which sends first and reads
/// later gets the answer rather than a reset connection. Beyond that, the connection is closed in its face.
pub const HTTP_DRAIN_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of a body that are parsed on a thread which serves others too: less than a millisecond's work.
pub const HTTP_PARSE_HERE_BYTES_MAX: usize = 64 * 1024;
/// The longest `wait_ms` that `POST /v1/jobs` honours: proxies in between give up at 60 s.
pub const WAIT_MS_MAX: u64 = 50_000;
/// Time that requests under way get when the server is told to stop.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);
/// Rows on one page of a list.
pub const PAGE_ROWS_MAX: usize = 500;
/// Rows on a page when the client does not say.
pub const PAGE_ROWS_DEFAULT: usize = 50;

/// Steps in one run. Aionis stops at 500; a day of agent work is below 2,000.
pub const RUN_STEPS_MAX: usize = 2_000;
/// Bytes of what one run's start, steps and results were sent with: values, metadata, notes. As much as a recording
/// file may have; whoever reads or compiles a run holds it in memory as a whole.
pub const RUN_BYTES_MAX: u64 = RECORDING_BYTES_MAX as u64;
/// Characters of a recorded tool's name. The longest MCP names (`mcp__server__tool`) stay below 128.
pub const TOOL_NAME_CHARS_MAX: usize = 256;
/// Bytes of one row's fields beside its values (input, output, signatures): conditions, metadata, error and the
/// like together. They stay in the row, which the store moves about.
pub const STEP_META_BYTES_MAX: usize = 64 * 1024;
/// Elements of `preconditions`, `postconditions` and `artifact_refs`, as Aionis has it.
pub const STEP_LIST_MAX: usize = 200;
/// Bytes of a recording file read by `reprise record`.
pub const RECORDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of one line of a recording file: a step's line holds what two HTTP requests bring, `step/before` and `step/after`.
pub const RECORDING_LINE_BYTES_MAX: usize = 2 * HTTP_BODY_BYTES_MAX;

/// Bytes of rows after which an import begins a new batch: a whole run of usual size goes in one, and one
/// flush of this size takes a disk a fraction of a second.
pub const IMPORT_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Nodes of one plan; the emitter writes one function each.
pub const PLAN_STEPS_MAX: usize = RUN_STEPS_MAX;
/// Nodes from which on the code that a plan's steps have in common stands once: what a shorter plan costs to compile to machine code is
/// little, and its code reads as its steps do.
pub const PLAN_SHARED_NODES_MIN: usize = 8;
/// Bytes of a plan as JSON in a component's custom section.
pub const PLAN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Rules that make one value out of another. What people write for such a thing has two or three.
pub const RULES_MAX: usize = 16;
/// Bytes of a text in a rule: what stands before and behind a value, and never a document.
pub const RULE_TEXT_BYTES_MAX: usize = 1_024;
/// Elements of a list that a rule makes of a text: more lines than a file of [`FS_FILE_BYTES_MAX`] usually has, and some 10 MB in memory.
pub const RULE_ITEMS_MAX: usize = 100_000;
/// Characters of a value that the message of a failed rule shows.
pub const RULE_VALUE_SHOWN_CHARS: usize = 80;
/// Values that a parameter may be limited to. More than a person would choose from are no choice.
pub const PARAMETER_VALUES_MAX: usize = 64;
/// Elements of a list for each of which a plan does the same. Each is a few entries of a journal that holds [`JOURNAL_ENTRIES_MAX`].
pub const EACH_ITEMS_MAX: usize = 1_000;
/// Time for one call of a replayed playbook, in milliseconds: the bounds that Aionis has for `timeout_ms`.
pub const REPLAY_CALL_MS_MIN: u64 = 100;
/// See [`REPLAY_CALL_MS_MIN`].
pub const REPLAY_CALL_MS_MAX: u64 = 600_000;
/// The highest `max_steps` of a replayed playbook, as Aionis has it.
pub const REPLAY_STEPS_MAX: u32 = 500;
/// Recordings that a repaired playbook is held against, the newest ones: each is a run of a component, of which thousands would
/// take a request's time and show nothing more.
pub const PROOF_RECORDINGS_MAX: usize = 50;
/// Bytes of a configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Values larger than this go to a blob file and leave a digest in the row, so that the log-structured
/// store is not made to carry (and later move) them. 32 KiB holds nearly every tool call inline.
pub const INLINE_BYTES_MAX: usize = 32 * 1024;
/// Batches that may wait for the committer; beyond that, writers wait. 4 x the connections we expect.
pub const COMMIT_QUEUE: usize = 1024;
/// Batches that share one flush. More adds latency without saving flushes.
pub const COMMIT_GROUP_MAX: usize = 256;
/// Bytes after which no further batch joins a group: what a disk takes in a few milliseconds. It also keeps
/// a group within few segments, and sled reuses a segment only after two later ones were begun.
pub const COMMIT_GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the keys and inline rows of one batch: several times what a job may hold back (`JOURNAL_PENDING_BYTES_MAX`).
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one row: a plan of the largest size, escaped, and what stands beside it.
pub const ROW_BYTES_MAX: usize = 2 * PLAN_BYTES_MAX;
/// Rows larger than this go to a blob file as a whole. Room for one inline value and the fields around it,
/// and small enough that sled never writes a page beside its log (see `STORE_SEGMENT_BYTES`).
pub const ROW_INLINE_BYTES_MAX: usize = 36 * 1024;
/// Bytes of a key. The longest that ids allow has a tenant, a scope, a run and a step: 64 + 4 x (256 + 128 + 128) and a few.
pub const KEY_BYTES_MAX: usize = 2_560;
/// Segment of sled's log. sled puts a page of more than a quarter of it into a file of its own **and does not
/// sync that file**, so a power cut could take back what was acknowledged. A leaf holds at most
/// `STORE_LEAF_ROWS_MAX` rows and an index page 256 keys; both fit into a quarter of 4 MiB at their largest.
/// It is written into the files: never change it without a new format number.
pub const STORE_SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// Rows of one sled leaf: it splits above 16, and a merge adds at most 3 before that. The rest is margin.
pub const STORE_LEAF_ROWS_MAX: usize = 26;
const _: () = assert!(STORE_LEAF_ROWS_MAX * (ROW_INLINE_BYTES_MAX + KEY_BYTES_MAX) < STORE_SEGMENT_BYTES / 4 - 1024);
/// Rows that a scan reads before it lets a commit through: about 0.2 ms.
pub const SCAN_ROWS_AT_ONCE: usize = 256;
/// Characters of the note in the lock file.
pub const LOCK_NOTE_CHARS_MAX: usize = 200;
/// Times a guarded write is tried again when another writer came first. 64 writers of one run
/// finish within 64 rounds, since each round lets at least one through.
pub const CONTENDED_TRIES_MAX: usize = 256;
/// Page cache of the store. Bounded, since sled's default grows with the machine.
pub const STORE_CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Fuel (WebAssembly operations, roughly) of one job. A compiled playbook takes about 1,000 a step and 4 for each byte of an answer it looks into;
/// 2 billion is about a second of pure computing.
pub const JOB_FUEL: u64 = 2_000_000_000;
/// Fuel of a component's start functions when it is uploaded. Language runtimes set up in about 10 million.
pub const START_FUEL: u64 = 200_000_000;
/// Fuel between two points at which a guest lets other jobs run: about 100 us.
pub const FUEL_YIELD_INTERVAL: u64 = 200_000;
/// Bytes that a guest may hand to the host in one call: a JSON value and its pointer or schema.
pub const HOSTCALL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Fuel of one call of a `data` function, whatever its size: about what the call itself takes.
pub const HOSTCALL_FUEL: u64 = 200;
/// Fuel for each byte that a `data` function reads: parsing takes a few nanoseconds a byte, as a few operations do.
pub const HOSTCALL_FUEL_PER_BYTE: u64 = 4;
/// Bytes of a JSON Schema that a guest checks with, or that one of its tools has. Written schemas are below 20 KiB.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// A schema's byte counts as this many: it is compiled, and may be applied at every place of the document.
pub const SCHEMA_FUEL_FACTOR: usize = 100;
/// Tools of one component. The largest that agents are known to be given at once are below a hundred.
pub const TOOLS_PER_COMPONENT_MAX: usize = 128;
/// Versions of one namespace: a year of daily uploads, three times over. Their digests stand in one row.
pub const TOOL_VERSIONS_MAX: usize = 1_000;
/// Namespaces of uploaded tools: each holds its schemas in memory, and its code once it was called.
pub const TOOL_NAMESPACES_MAX: usize = 1_000;
/// Bytes of a tool component's input that are checked by whoever calls, not on a thread of their own: some 100 us at most.
pub const TOOL_CHECK_HERE_BYTES_MAX: usize = 16 * 1024;
/// Fuel of one call of a tool component: some five seconds of pure computing. An interpreter inside of a guest takes fifty
/// operations for one of its own.
pub const TOOL_FUEL: u64 = 10_000_000_000;
/// A call of a tool component that takes no longer is made on the threads that serve everyone, if those before it were as short:
/// as long as some tens of durable steps may have to wait.
pub const TOOL_QUICK_TIME_MAX: Duration = Duration::from_millis(1);
/// What one run of a playbook may work on the threads that serve everyone before it goes on apart from them. A step of a compiled
/// playbook takes some 10 us of it, so what ordinary jobs do stays far below.
pub const PLAYBOOK_QUICK_TIME_MAX: Duration = Duration::from_millis(20);
/// How far the threads of tool components stand back behind all others (`nice`): with 10, a tenth of the processor where both want it.
pub const TOOL_THREADS_NICE: i32 = 10;
/// Bytes that one call of a tool may print and have kept; beyond it they are counted and dropped.
pub const TOOL_LOG_BYTES_MAX: usize = 64 * 1024;
/// Random bytes that a guest gets at once: the host makes them, so that they cost the guest nothing.
pub const GUEST_RANDOM_BYTES_MAX: u64 = 64 * 1024;
/// Handles (streams, files, requests, buckets) that one guest may hold. Each is a few hundred bytes of the host's.
pub const GUEST_RESOURCES_MAX: usize = 1_024;
/// Bytes of one set of HTTP headers inside of the host, with what holds them: some four times what goes over the wire.
pub const GUEST_HTTP_FIELDS_BYTES_MAX: usize = 4 * HTTP_HEADER_BYTES_MAX;
/// Keys in one call of `wasi:keyvalue/batch`; each is a write of its own to the disk.
pub const KV_BATCH_KEYS_MAX: usize = 100;
/// Linear memory of one guest.
pub const GUEST_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Elements of one guest table. JavaScript has 760, Python 5,700.
pub const GUEST_TABLE_ELEMENTS_MAX: usize = 20_000;
/// Core instances inside one component. wasm32-wasip2 guests have 4 or 5, JavaScript (componentize-qjs) has 11, and Python
/// (componentize-py with its stubs for WASI) 38.
pub const GUEST_CORE_INSTANCES_MAX: u32 = 64;
/// Memories inside one component; each reserves address space in every slot of the pool. JavaScript has 3, two of them empty.
pub const GUEST_MEMORIES_MAX: u32 = 3;
/// Tables inside one component. JavaScript has 3, Python 2.
pub const GUEST_TABLES_MAX: u32 = 4;
/// Stack of one guest in bytes; recursion beyond it is a trap.
pub const GUEST_STACK_BYTES_MAX: usize = 512 * 1024;
/// Jobs that hold a guest instance at the same time; the rest wait as `ready`.
pub const JOBS_RUNNING_MAX: usize = 64;
/// Proofs, uploads and inspections that compile and start components at the same time; the rest wait. Each may
/// keep the processors busy for seconds.
pub const ADMISSIONS_MAX: usize = 8;
/// Time before a job that the host interrupted (a full table of files, a grant that is not there) is tried again;
/// doubled each time.
pub const ATTEMPT_WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest such time: a person who mended the cause need not wait longer.
pub const ATTEMPT_WAIT_MAX: Duration = Duration::from_secs(60);
/// Slots of the instance pool: every running job and every admission has one, with room to spare, so that none
/// fails for want of a slot. Each slot is reckoned with all that one component may have.
pub const INSTANCES_MAX: u32 = 96;
/// The epoch's tick. The kill switch is as fine as this.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);
/// Time a guest may compute without coming back to the host, before the kill switch stops it:
/// a backstop far above what its fuel can take.
pub const GUEST_BUSY_TIME_MAX: Duration = Duration::from_secs(30);
/// Types within types in what a component's function takes or returns. Interfaces of libraries stay below 8; each level takes
/// four in the type's JSON Schema, which [`JSON_DEPTH_MAX`] must hold with what stands around it.
pub const COMPONENT_TYPE_DEPTH_MAX: usize = 12;
/// Types and names in what one function takes and returns, a type counted wherever it is used: a record that holds the one before it
/// twice doubles each time. Large interfaces have a few hundred; the schema of so many has a few hundred kilobytes.
pub const COMPONENT_TYPE_PLACES_MAX: usize = 2_000;
/// Bytes of one name in such a type: it stands in every value of it.
pub const COMPONENT_NAME_BYTES_MAX: usize = 128;
/// Names that a message lists as those there are.
pub const COMPONENT_NAMES_SHOWN_MAX: usize = 16;
/// Values within one argument or result of a component's function, optional fields that were left out among them: more than JSON of the
/// largest size can show (half a million digits and commas), and some 60 MB in memory.
pub const COMPONENT_VALUE_PLACES_MAX: usize = 600_000;
/// Components kept ready in memory.
pub const COMPONENTS_IN_MEMORY_MAX: usize = 512;
/// Tools that one component imports, and one plan calls.
pub const IMPORTS_MAX: usize = 256;
/// Characters of one guest log line; the rest is cut.
pub const LOG_LINE_CHARS_MAX: usize = 4_096;
/// Log lines of one job that are passed on; the rest is dropped without a word.
pub const LOG_LINES_MAX: usize = 1_000;
/// Characters of an error message that a guest made.
pub const GUEST_MESSAGE_CHARS_MAX: usize = 4_096;

/// Entries in one job's journal. 10,000-step jobs fit; a guest in a loop does not fill the disk.
pub const JOURNAL_ENTRIES_MAX: u64 = 100_000;
/// Bytes of one job's journal, values in blobs not counted. A resume holds them in memory: 10,000 steps of 6 kB fit.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of an evidence bundle: the entries of a full journal as JSON strings, in which every quotation mark takes two bytes,
/// a plan, and the manifest.
pub const EVIDENCE_BYTES_MAX: usize = 192 * 1024 * 1024;
/// Bytes of a playbook's bundle: it is read whole, and packed again to compare. A playbook with a handful of the largest tool
/// components and a recording of a long day fits.
pub const BUNDLE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Files in such a bundle: three for each component, and one each for the rest. A playbook of eighty components is none.
pub const BUNDLE_FILES_MAX: usize = 256;
/// Bytes of a bundle's own JSON files: what a version keeps beside its component came in one request of half of that.
pub const BUNDLE_JSON_BYTES_MAX: usize = 2 * HTTP_BODY_BYTES_MAX;
/// Jobs whose evidence goes along in a bundle: to show that it works, not to move an archive.
pub const BUNDLE_EVIDENCE_MAX: usize = 16;
/// Entries that are read from the store at a time; at the usual half kilobyte each they take half a megabyte.
pub const JOURNAL_READ_ROWS: usize = 1_000;
/// Rows that are looked at for one page of a filtered list: about 50 ms. Beyond that the page ends early and says where to go on.
pub const LIST_SCAN_ROWS_MAX: usize = 20_000;
/// Entries that may wait in memory for the next flush (reads, clock, randomness).
pub const JOURNAL_PENDING_MAX: usize = 256;
/// Bytes that may wait in memory for the next flush.
pub const JOURNAL_PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Entries of a journal that are read at a time for someone who watches: at their largest (two values inline) they take two megabytes.
pub const WATCHED_AT_ONCE: usize = 32;
/// Time between two looks of `reprise test` for jobs that stand as uncertain: a look reads one row.
pub const TEST_LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Milliseconds that `reprise test` waits for somebody who does not come, where the playbook goes on without them then. It waits so in each of dozens of runs.
pub const TEST_WAIT_MS_MAX: u64 = 60_000;
/// Flushes at which `reprise test --crash-everywhere` kills a job. At a few tenths of a second each that is an hour; nobody waits longer.
pub const CRASH_POINTS_MAX: u64 = 10_000;
/// Time after which someone who watches a job looks again though nobody woke them: a wake-up that is lost makes them late, not wrong.
pub const WATCH_LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Journals that a server sends as events at the same time. Each holds a connection and up to two megabytes.
pub const JOURNAL_STREAMS_MAX: usize = 256;
/// Connections that `reprise jobs watch` makes in vain, one after the other, before it gives up: a minute, in which a server can be restarted.
pub const WATCH_RECONNECTS_MAX: u32 = 60;
/// Time between two of them.
pub const WATCH_RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Time without an event after which a comment is sent, so that nobody in between takes the connection for dead. Proxies give up at 60 s, some at 30 s.
pub const EVENTS_SILENCE_MAX: Duration = Duration::from_secs(15);
/// Jobs that are counted in each status for `GET /metrics`: about 10 ms of a scrape.
pub const JOBS_COUNTED_MAX: usize = 20_000;
/// Jobs that may stand in `ready`; more are refused, so that a client learns it early.
pub const JOBS_READY_MAX: usize = 100_000;

/// Fuel that a budget may name: about a minute of pure computing.
pub const JOB_FUEL_MAX: u64 = 100_000_000_000;
/// Tries of one call, or of one job. With doubled pauses the hundredth is far beyond anybody's patience.
pub const TRIES_MAX: u32 = 100;
/// The longest pause between two tries, in milliseconds: an hour.
pub const PAUSE_MS_MAX: u64 = 3_600_000;
/// The longest wait, timeout or budget of time, in milliseconds: ten years. Beyond it a number is a mistake in its unit.
pub const WAIT_TIME_MS_MAX: u64 = 10 * 365 * 24 * 3_600_000;
/// Signals that a job keeps which no wait has taken yet; a sender in a loop does not fill its journal.
pub const SIGNALS_UNTAKEN_MAX: usize = 1_000;
/// Pieces of one job's mail that are read at a time: all that steers it, a word of each child, and the signals that it may keep.
pub const MAIL_READ_MAX: usize = SIGNALS_UNTAKEN_MAX + CHILDREN_MAX + 100;
/// Jobs above one another: a playbook that starts itself does not go on for ever.
pub const CHILD_DEPTH_MAX: u32 = 8;

/// The longest time between two looks of a scheduler at what is due: mail that a crash left lying waits no longer.
pub const KEEPER_TICK: Duration = Duration::from_millis(500);
/// Timers and pieces of mail that one look takes up; the next look follows at once or a tick later.
pub const DUE_AT_ONCE: usize = 2_000;
/// Time for which a request waits for a job that is under way for a moment to stand.
pub const STEER_TIME_MAX: Duration = Duration::from_secs(5);
/// Attempts in a row that come no further before a job is set aside: a machine that is restarted again and again has few
/// of them within one call, a guest that kills its worker has nothing else.
pub const FRUITLESS_ATTEMPTS_MAX: u32 = 10;
/// The longest pause between two tries for which a job keeps its guest; for a longer one it lets go of everything.
pub const PAUSE_HELD_MAX: Duration = Duration::from_secs(1);
/// Time for which a claim of an external call holds where its claimer says nothing else, and the longest it may ask for.
pub const CLAIM_TIME_DEFAULT: Duration = Duration::from_secs(60);
/// Tools that one claim may name: each is looked for in turn.
pub const CLAIM_TOOLS_MAX: usize = 100;
/// See [`CLAIM_TIME_DEFAULT`]. Whoever needs longer extends it, and shows that way that it lives.
pub const CLAIM_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Children of one job. Each is a job of its own, with a journal; a list of a thousand things can be done side by side.
pub const CHILDREN_MAX: usize = 1_000;

/// Wall time of one built-in tool call.
pub const TOOL_CALL_TIME_MAX: Duration = Duration::from_secs(30);
/// Time within which a built-in tool must begin to change something. What is left of
/// [`TOOL_CALL_TIME_MAX`] is for the flush, so that "out of time, nothing was changed" stays true.
pub const TOOL_BEGIN_TIME_MAX: Duration = Duration::from_secs(25);
/// The longest pause between two tries for a file that another call holds; the first is a millisecond.
/// Such calls take a few flushes each, so that a longer pause would only add latency.
pub const TOOL_PAUSE_MAX: Duration = Duration::from_millis(20);
/// Issues that are listed when an input does not fit its schema; the first ones say enough.
pub const TOOL_ISSUES_MAX: usize = 16;
/// Bytes of a file that the `fs` tools read or write: what fits into one JSON value after escaping.
pub const FS_FILE_BYTES_MAX: u64 = 512 * 1024;
/// Entries that `fs/list` returns.
pub const FS_LIST_ENTRIES_MAX: usize = 5_000;
/// Bytes of a path inside a grant.
pub const FS_PATH_BYTES_MAX: usize = 4_096;
/// Names looked up or waiting to be for one path, those in symbolic links included. A path has at most 2,048;
/// a tree of links made to be costly ends here, after some 20 ms and a megabyte.
pub const FS_LOOKUPS_MAX: usize = 8_192;

/// How long a job stays with a process that says nothing more, where the configuration does not say.
pub const LEASE_MS_DEFAULT: u64 = 10_000;
/// The shortest lease: a process that flushes slowly or was off the processor for a moment must not lose its jobs.
pub const LEASE_MS_MIN: u64 = 1_000;
/// The longest lease: a dead process's jobs stand still for as long.
pub const LEASE_MS_MAX: u64 = 600_000;
/// Time for one answer of a planner's endpoint where the configuration does not say. Models take tens of seconds.
pub const PLANNER_TIMEOUT_MS_DEFAULT: u64 = 60_000;
/// The longest such time; beyond it, nobody waits for a plan.
pub const PLANNER_TIMEOUT_MS_MAX: u64 = 600_000;
/// Bytes of an endpoint's answer that are read: a graph of the largest size, escaped, and what stands around it.
pub const PLANNER_ANSWER_BYTES_MAX: usize = 2 * JSON_BYTES_MAX + 64 * 1024;
/// Answers that are asked for until one holds a graph that can be run: the first, and one that mends what was wrong with it.
pub const PLANNER_ROUNDS_MAX: u32 = 2;
/// Goals that are planned at the same time; the rest wait. Endpoints count requests, and each may hold megabytes.
pub const PLANNERS_MAX: usize = 8;
/// Characters of what an endpoint says of its refusal that are passed on.
pub const PLANNER_REASON_CHARS_MAX: usize = 300;
/// Time for planning within a request over HTTP, which must be read ([`HTTP_REQUEST_TIME_MAX`]) and answered within [`HTTP_SILENCE_MAX`].
pub const PLANNING_WITHIN_REQUEST_MAX: Duration = Duration::from_secs(50);

/// Bytes of the shortest secret. Every occurrence of a secret is replaced wherever it turns up: a shorter one would be found by
/// chance in ordinary text, and could be guessed anyway.
pub const SECRET_BYTES_MIN: usize = 8;
/// Bytes of the longest secret: certificate chains with their keys are below 20 KiB.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Secrets in one data directory. All of them are held in memory, and looked for in all that comes back.
pub const SECRETS_MAX: usize = 256;
/// Bytes of a text that is searched for secrets on a thread which serves others too: less than a millisecond's work.
pub const SCRUB_HERE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a key in a key-value space: enough for a path or an address, and a page of [`KV_LIST_MAX`] stays below
/// [`JSON_BYTES_MAX`] even where each character is escaped.
pub const KV_KEY_BYTES_MAX: usize = 256;
/// Bytes of a value in a key-value space. A larger one would become a blob, and blobs are kept for ever, while a value may
/// be replaced as often as somebody likes.
pub const KV_VALUE_BYTES_MAX: usize = INLINE_BYTES_MAX;
/// Keys of one space. A space is for what a job must remember, and no database.
pub const KV_KEYS_MAX: u64 = 100_000;
/// Bytes of the keys and values of one space together: all of it can be read into memory by who looks after it.
pub const KV_SPACE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Keys in one answer of `kv/list`; who wants more asks for those after the last one.
pub const KV_LIST_MAX: usize = 1_000;
/// Rows that are read at once to list keys: their values come along and are let go of.
pub const KV_LIST_ROWS_AT_ONCE: usize = 64;

/// Bytes of a URL that the `http` tools take; servers refuse longer ones.
pub const HTTP_URL_BYTES_MAX: usize = 8 * 1024;
/// Headers of one request of the `http` tools. Servers take about a hundred.
pub const HTTP_HEADERS_MAX: usize = 64;
/// Characters in the name of a header.
pub const HTTP_HEADER_NAME_CHARS_MAX: usize = 128;
/// Bytes of one request's headers together, and of one header of an answer that is shown: what servers take by default.
pub const HTTP_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a request's body: what one JSON value can hold.
pub const HTTP_REQUEST_BYTES_MAX: usize = JSON_BYTES_MAX;
/// Bytes of an answer's body that are read: what fits into one JSON value after escaping.
pub const HTTP_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a refusal's body that go into the error's detail: it stays in the journal's row, and says enough.
pub const HTTP_ERROR_BODY_BYTES_MAX: usize = 8 * 1024;
/// Nesting of a refusal's JSON in the error's detail; leaves room for what the journal puts around it.
pub const HTTP_ERROR_BODY_DEPTH_MAX: usize = 32;
/// Redirects that one `http` call may follow. Each is checked as a call of its own; a service that moves its things
/// takes one or two.
pub const HTTP_REDIRECTS_MAX: u32 = 5;
/// Time for a connection to come about: three packets that were lost and sent again, and no more.
pub const HTTP_CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Time of one `http` call where the job does not say.
pub const HTTP_TIMEOUT_MS_DEFAULT: u64 = 15_000;
/// The longest time that a job may give an `http` call: below [`TOOL_CALL_TIME_MAX`], so that the tool's own error is heard.
pub const HTTP_TIMEOUT_MS_MAX: u64 = 25_000;

/// Grants in the store: each is a line that a person has read, and all are opened at every attempt of a job.
pub const GRANTS_MAX: usize = 500;
/// Arguments that an `exec` grant names one by one; more is a script, which is a program of its own.
pub const EXEC_ARGS_MAX: usize = 64;
/// Bytes of one such argument: as long as a path may be.
pub const EXEC_ARG_BYTES_MAX: usize = 4 * 1024;
/// Arguments of one call of `exec/run`, where a grant lets further ones through: more than a person would list.
pub const EXEC_ARGS_GIVEN_MAX: usize = 1_000;
/// Links on the way to a program, as many as the kernel follows.
pub const EXEC_LINKS_MAX: usize = 40;
/// Bytes of what a program writes to one of its two streams that are kept, as they are read and as they stand in JSON: both
/// streams together fit into one JSON value.
pub const EXEC_OUTPUT_BYTES_MAX: usize = 384 * 1024;
const _: () = assert!(2 * EXEC_OUTPUT_BYTES_MAX + 64 * 1024 < JSON_BYTES_MAX);
/// Bytes of each stream that go into the error's detail, from its end: that is where a program says why it gave up.
pub const EXEC_ERROR_OUTPUT_BYTES_MAX: usize = 4 * 1024;
/// Characters of a program's last line that stand in the error's message.
pub const EXEC_REASON_CHARS_MAX: usize = 200;
/// Bytes that are read from a program at once: what a pipe holds.
pub const EXEC_READ_BYTES: usize = 64 * 1024;
/// Time of one `exec/run` where the job does not say.
pub const EXEC_TIMEOUT_MS_DEFAULT: u64 = 60_000;
/// The longest time that a job may give a program: a build or a suite of tests. What takes longer is a service.
pub const EXEC_TIMEOUT_MS_MAX: u64 = 30 * 60_000;
/// Time in which a group that was killed is gone, and its pipes are read out. Only a process that hangs in the kernel, or
/// one that left its group and holds a pipe open, takes longer, and is not waited for.
pub const EXEC_END_TIME_MAX: Duration = Duration::from_secs(2);
/// Characters in the name of a variable that is granted.
pub const ENV_VARIABLE_CHARS_MAX: usize = 64;
/// Bytes of a granted variable: as much as an argument. It is kept with every job that it is granted to.
pub const ENV_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Levels of a step's input in which data flow is looked for; deeper values stay as recorded. Each level
/// takes two in the plan's JSON, and [`PLAN_DEPTH_MAX`] must hold them.
pub const LIFT_DEPTH_MAX: usize = 24;
/// Nesting of a plan's JSON: two for each lifted level, the rest for a constant and the plan around it.
/// serde_json stops at 128.
pub const PLAN_DEPTH_MAX: usize = 124;
/// Levels of arms within arms in a plan: a graph nested deeper is no longer read by people. Each level takes three in
/// the plan's JSON, and [`PLAN_DEPTH_MAX`] must hold them beside a step's own.
pub const PLAN_NESTING_MAX: usize = 16;
/// Branches of one parallel node; each is a child job that is started before the first is waited for.
pub const PARALLEL_BRANCHES_MAX: usize = 64;
/// Nodes of a task graph. People and planners write dozens; every one is a function of the component, and half of them
/// may be undone by a step of its own within [`PLAN_STEPS_MAX`].
pub const GRAPH_NODES_MAX: usize = 1_000;
/// Characters of a graph node's id: what is made of it (its branches, its undoing) must still be an id.
pub const GRAPH_ID_CHARS_MAX: usize = 100;
/// The longest time that a graph may name, in milliseconds: a year. A longer wait is more likely a slip of the unit.
pub const GRAPH_WAIT_MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// Checks of one step: as many as a recorder may write down before a step and after it, and a few that are inferred.
pub const STEP_CHECKS_MAX: usize = 500;
/// Bytes of one step's answer that stand in a repair packet; a larger one is named and read from the journal.
pub const PACKET_ANSWER_BYTES_MAX: usize = 64 * 1024;
