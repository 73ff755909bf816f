//! Numbers about this process, for Prometheus.
//!
//! Its job: a plain function for each thing worth counting, and one that prints them all. It knows nobody who counts:
//! what it is told are words and numbers. What must stay true: every label has few values. Labels are therefore
//! `&'static str`s, words of our own, with two exceptions that are held down here: a tool ([`Tool`]) and a route.
//!
//! The numbers begin with the process and end with it; what must outlive it is in the journal. `docs/OBSERVING.md`
//! lists every series, and a test compares.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::clock;

/// What [`text()`] writes; Prometheus and everything that scrapes like it reads it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Buckets for work that takes from half a millisecond to a minute.
const SECONDS: [f64; 16] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// Buckets for jobs, which may wait for a person for a week.
const JOB_SECONDS: [f64; 14] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// Buckets for batches that shared a flush.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;
type Seconds = Gauge<f64, AtomicU64>;

/// A tool, as the label that it gets.
#[derive(Debug, Clone, Copy)]
pub enum Tool<'a> {
    /// One that is registered here.
    Registered(&'a str),
    /// Any that an agent outside performs; their names are anybody's.
    Agent,
    /// One that nobody knows.
    Unknown,
}

impl Tool<'_> {
    fn label(self) -> Cow<'static, str> {
        match self {
            Tool::Registered(id) => id.to_owned().into(),
            Tool::Agent => "agent/*".into(),
            Tool::Unknown => "other".into(),
        }
    }
}

/// Everything that is counted.
struct Series {
    registry: Registry,
    jobs_started: Counter,
    jobs_ended: Counters<1>,
    job_seconds: Histograms<1>,
    jobs_parked: Counters<1>,
    tool_calls: Counters<2>,
    tool_seconds: Histograms<1>,
    replayed: Counter,
    retries: Counters<1>,
    uncertain: Counter,
    fuel: Counter,
    entries: Counter,
    entry_bytes: Counter,
    flushes: Counters<1>,
    flush_batches: Histogram,
    flush_seconds: Histogram,
    signals: Counter,
    timers: Counter,
    approvals: Counters<1>,
    leases: Counters<1>,
    requests: Counters<3>,
    request_seconds: Histograms<2>,
    streams: Gauge,
    memory: Gauge,
}

static SERIES: LazyLock<Series> = LazyLock::new(Series::new);

/// Registers under a name, and gives back what is registered.
fn named<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// As [`named`], in a unit that the name ends in.
fn measured<M: Metric + Clone>(registry: &mut Registry, name: &str, unit: Unit, help: &str, metric: M) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

fn histograms<const N: usize>(of: fn() -> Histogram) -> Histograms<N> {
    Family::new_with_constructor(of)
}

impl Series {
    fn new() -> Series {
        let mut registry = Registry::default();
        let process = registry.sub_registry_with_prefix("process");
        let memory = measured(process, "resident_memory", Unit::Bytes, "Memory that this process has in use", Gauge::default());
        let started: Seconds = measured(process, "start_time", Unit::Seconds, "When this process started, since 1970", Gauge::default());
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double")]
        started.set(clock::now_ms() as f64 / 1_000.0);

        let ours = registry.sub_registry_with_prefix("reprise");
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let job_seconds: fn() -> Histogram = || Histogram::new(JOB_SECONDS);
        let jobs_started = named(ours, "jobs_started", "Jobs that were accepted", Counter::default());
        let jobs_ended = named(ours, "jobs_ended", "Jobs that ended, by how: completed, failed or cancelled", Counters::default());
        let help = "Time from a job's creation to its end, by how it ended; waits included";
        let job_seconds = measured(ours, "job_duration", Unit::Seconds, help, histograms(job_seconds));
        let jobs_parked = named(ours, "jobs_parked", "Jobs that were set aside, by reason", Counters::default());
        let help = "Tool calls that were performed, by tool and outcome: ok, or the kind of error";
        let tool_calls = named(ours, "tool_calls", help, Counters::default());
        let tool_seconds = measured(ours, "tool_call_duration", Unit::Seconds, "Time of a tool call, by tool", histograms(seconds));
        let replayed = named(ours, "calls_replayed", "Calls that were answered from the journal and not performed", Counter::default());
        let retries = named(ours, "retries", "Tries after the first, by what was tried again: call, step or attempt", Counters::default());
        let help = "Calls of which nobody knows whether they took effect";
        let uncertain = named(ours, "calls_uncertain", help, Counter::default());
        let fuel = named(ours, "guest_fuel", "Fuel that guests used, roughly one for each WebAssembly operation", Counter::default());
        let entries = named(ours, "journal_entries", "Journal entries written", Counter::default());
        let entry_bytes = measured(ours, "journal", Unit::Bytes, "Bytes of journal entries written", Counter::default());
        let flushes =
            named(ours, "store_flushes", "Groups of batches that were flushed to disk, by outcome: ok or failed", Counters::default());
        let flush_batches = named(ours, "store_flush_batches", "Batches that shared a flush", Histogram::new(BATCHES));
        let help = "Time to apply a group and flush it";
        let flush_seconds = measured(ours, "store_flush_duration", Unit::Seconds, help, Histogram::new(SECONDS));
        let signals = named(ours, "signals_stored", "Signals that were stored for a job", Counter::default());
        let timers = named(ours, "timers_fired", "Deadlines of sleeps and waits that came", Counter::default());
        let help = "Approvals that were settled, by decision: approved, rejected or expired";
        let approvals = named(ours, "approvals_decided", help, Counters::default());
        let leases = named(ours, "leases", "Leases on jobs, by what became of them: taken, released, expired or lost", Counters::default());
        let help = "HTTP requests that were answered, by route, method and status";
        let requests = named(ours, "http_requests", help, Counters::default());
        let help = "Time from a request's head to its answer's, by route and method";
        let request_seconds = measured(ours, "http_request_duration", Unit::Seconds, help, histograms(seconds));
        let streams = named(ours, "journal_streams", "Journals that are being sent as events now", Gauge::default());
        Series {
            jobs_started,
            jobs_ended,
            job_seconds,
            jobs_parked,
            tool_calls,
            tool_seconds,
            replayed,
            retries,
            uncertain,
            fuel,
            entries,
            entry_bytes,
            flushes,
            flush_batches,
            flush_seconds,
            signals,
            timers,
            approvals,
            leases,
            requests,
            request_seconds,
            streams,
            memory,
            registry,
        }
    }
}

/// Begins to count; the process's start is now. Whatever is counted first does the same.
pub fn begin() {
    LazyLock::force(&SERIES);
}

/// A job was created.
pub fn job_started() {
    SERIES.jobs_started.inc();
}

/// A job ended so (`completed`, `failed`, `cancelled`), this long after its creation.
pub fn job_ended(how: &'static str, seconds: f64) {
    SERIES.jobs_ended.get_or_create(&[("outcome", how.into())]).inc();
    SERIES.job_seconds.get_or_create(&[("outcome", how.into())]).observe(seconds);
}

/// A job was set aside.
pub fn job_parked(reason: &'static str) {
    SERIES.jobs_parked.get_or_create(&[("reason", reason.into())]).inc();
}

/// A tool call was performed: `ok`, or the kind of its error.
pub fn tool_call(tool: Tool, outcome: &'static str, seconds: f64) {
    SERIES.tool_calls.get_or_create(&[("tool", tool.label()), ("outcome", outcome.into())]).inc();
    SERIES.tool_seconds.get_or_create(&[("tool", tool.label())]).observe(seconds);
}

/// A call was answered from the journal.
pub fn call_replayed() {
    SERIES.replayed.inc();
}

/// Something is tried again: a `call`, a `step`, or an `attempt` at a whole job.
pub fn retried(what: &'static str) {
    SERIES.retries.get_or_create(&[("of", what.into())]).inc();
}

/// Nobody knows whether a call took effect.
pub fn call_uncertain() {
    SERIES.uncertain.inc();
}

/// A guest used this much fuel.
pub fn fuel_used(fuel: u64) {
    SERIES.fuel.inc_by(fuel);
}

/// Entries were written, of so many bytes together.
pub fn journal_written(entries: u64, bytes: u64) {
    SERIES.entries.inc_by(entries);
    SERIES.entry_bytes.inc_by(bytes);
}

/// A group of so many batches was applied and flushed, or was refused.
pub fn store_flushed(batches: usize, seconds: f64, ok: bool) {
    let outcome = if ok { "ok" } else { "failed" };
    SERIES.flushes.get_or_create(&[("outcome", outcome.into())]).inc();
    SERIES.flush_batches.observe(f64::from(u32::try_from(batches).unwrap_or(u32::MAX)));
    SERIES.flush_seconds.observe(seconds);
}

/// A signal was stored.
pub fn signal_stored() {
    SERIES.signals.inc();
}

/// A deadline came.
pub fn timer_fired() {
    SERIES.timers.inc();
}

/// An approval was settled: `approved`, `rejected` or `expired`.
pub fn approval_decided(decision: &'static str) {
    SERIES.approvals.get_or_create(&[("decision", decision.into())]).inc();
}

/// A lease on a job was `taken`, `released`, `expired` (another worker's, taken over) or `lost` (ours).
pub fn lease(event: &'static str) {
    SERIES.leases.get_or_create(&[("event", event.into())]).inc();
}

/// A request was answered. `route` is the pattern that matched and none where nothing did; `method` is one of HTTP's own.
pub fn http_request(route: Option<&str>, method: &'static str, status: u16, seconds: f64) {
    let route: Cow<'static, str> = route.map_or(Cow::Borrowed("none"), |route| route.to_owned().into());
    let labels = [("route", route.clone()), ("method", method.into()), ("status", status.to_string().into())];
    SERIES.requests.get_or_create(&labels).inc();
    SERIES.request_seconds.get_or_create(&[("route", route), ("method", method.into())]).observe(seconds);
}

/// A journal is being sent as events, for as long as this lives.
#[derive(Debug)]
pub struct OpenStream(());

impl OpenStream {
    /// One more.
    #[must_use]
    pub fn begin() -> OpenStream {
        SERIES.streams.inc();
        OpenStream(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        SERIES.streams.dec();
    }
}

/// Everything, in the form that [`CONTENT_TYPE`] names. `jobs`: how many stand in which status now.
#[must_use]
pub fn text(jobs: &[(&'static str, u64)]) -> String {
    if let Some(bytes) = resident_bytes() {
        SERIES.memory.set(bytes);
    }
    // Made anew: the numbers are those of one store, and a process may have several.
    let mut now = Registry::with_prefix("reprise");
    let help = "Jobs that have not ended, by status now; each is counted up to 20,000";
    let standing: Family<Labels<1>, Gauge> = named(&mut now, "jobs", help, Family::default());
    for (status, count) in jobs {
        standing.get_or_create(&[("status", (*status).into())]).set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    let mut out = String::new();
    let written = text::encode_registry(&mut out, &SERIES.registry).and_then(|()| text::encode_registry(&mut out, &now));
    written.and_then(|()| text::encode_eof(&mut out)).and_then(|()| out.write_str("")).expect("a String takes all that is written");
    out
}

/// What the kernel says; none where it does not.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))?;
    kib.trim().parse::<i64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a series of this process.
    fn value(series: &str) -> f64 {
        let text = text(&[]);
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    #[test]
    fn each_word_counts_in_its_own_series() {
        job_started();
        job_ended("cancelled", 0.2);
        tool_call(Tool::Agent, "timeout", 31.0);
        tool_call(Tool::Unknown, "not-found", 0.0);
        store_flushed(3, 0.004, false);
        approval_decided("rejected");
        lease("lost");
        retried("step");
        journal_written(2, 700);
        for (series, at_least) in [
            ("reprise_jobs_started_total", 1.0),
            (r#"reprise_jobs_ended_total{outcome="cancelled"}"#, 1.0),
            (r#"reprise_job_duration_seconds_bucket{le="0.5",outcome="cancelled"}"#, 1.0),
            (r#"reprise_tool_calls_total{tool="agent/*",outcome="timeout"}"#, 1.0),
            (r#"reprise_tool_calls_total{tool="other",outcome="not-found"}"#, 1.0),
            (r#"reprise_tool_call_duration_seconds_sum{tool="agent/*"}"#, 31.0),
            (r#"reprise_store_flushes_total{outcome="failed"}"#, 1.0),
            (r#"reprise_store_flush_batches_bucket{le="4.0"}"#, 1.0),
            (r#"reprise_approvals_decided_total{decision="rejected"}"#, 1.0),
            (r#"reprise_leases_total{event="lost"}"#, 1.0),
            (r#"reprise_retries_total{of="step"}"#, 1.0),
            ("reprise_journal_entries_total", 2.0),
            ("reprise_journal_bytes_total", 700.0),
        ] {
            assert!(value(series) >= at_least, "{series}: {}\n{}", value(series), text(&[]));
        }
        assert!(!text(&[]).contains("31.0\"}"), "a duration is no label");
    }

    #[test]
    fn the_process_says_when_it_began_and_how_large_it_is() {
        begin();
        assert!(value("process_start_time_seconds") > 1.7e9, "{}", text(&[]));
        assert!(value("process_resident_memory_bytes") > 1e6, "{}", text(&[]));
    }

    #[test]
    fn jobs_that_stand_are_those_of_the_store_that_is_asked() {
        let text = text(&[("ready", 3), ("parked", 0)]);
        assert!(text.contains("\nreprise_jobs{status=\"ready\"} 3\n") && text.contains("\nreprise_jobs{status=\"parked\"} 0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
