//! Random jobs on a store whose commits fail and whose processes die, by seed.
//!
//! Everything between a guest and the store is real: the scheduler's tasks, steering, the journal, the store and its
//! committer. Scripted are the guest (a list of operations in the place of a component, so that a schedule takes
//! milliseconds), the clock, randomness, what the tools do, and what becomes of each commit. One thread does it all, and the
//! keeper does not run: what is due is looked after when the schedule says so. The same seed gives the same journal, but for signals
//! that are sent while a tool works, which another thread's speed decides about: the test that compares leaves them out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use super::super::lease::is_free;
use super::super::scheduler::take_up;
use super::super::shared::Shared;
use super::super::steer::{Word, steer};
use super::Guest;
use super::scripted::{Dice, MEANWHILE, Op, World, guest, program, registry, signal};
use crate::checks::At;
use crate::contract::{Effect, ErrorKind, ToolError};
use crate::ids::{Digest, JobId, PlaybookId, SCRIPTED_RANDOM, Space};
use crate::jobs::{Manner, Rules};
use crate::journal::{
    self, Body, CancelRequested, Continued, Decision, Entry, Log, Mail, Mode, On, Options, Paused, Resolved, State, Status, Verdict, Wake,
    WhenExhausted, Woken,
};
use crate::json::Json;
use crate::limits;
use crate::sandbox::Sandbox;
use crate::store::faults::Fate;
use crate::store::{ApprovalKey, EntryKey, JobKey, MailKey, StatusKey, Store, TimerKey};

/// Schedules in the usual test command; `REPRISE_SCHEDULES` asks for more, `REPRISE_SEED` for a single one.
const SCHEDULES: u64 = 1_000;
/// Where the store fails, a job is let go of: the schedule says when it is taken up again.
const WATCHED: Manner = Manner { pace: None, watched: true };
const EPOCH_MS: u64 = 1_763_632_000_000;

/// One schedule under way.
struct Simulation<'a> {
    seed: u64,
    dice: Dice,
    store: &'a Store,
    sandbox: &'a Sandbox,
    job: JobId,
    space: Space,
    program: Arc<Vec<Op>>,
    world: Arc<Mutex<World>>,
    process: Arc<Shared>,
    processes: u64,
    signals: u64,
    /// Signals by their number: whether someone was told that it is stored.
    told: BTreeMap<u64, bool>,
    now_ms: u64,
}

impl<'a> Simulation<'a> {
    fn new(seed: u64, disturbed: bool, store: &'a Store, sandbox: &'a Sandbox) -> Self {
        let mut dice = Dice(seed);
        let program = Arc::new(program(&mut dice));
        let world = World {
            dice: Dice(dice.next()),
            effects: BTreeMap::new(),
            keys: BTreeMap::new(),
            once: BTreeSet::new(),
            store: store.clone(),
            process: Weak::new(),
            sent: 0,
            is_disturbed: disturbed,
        };
        let world = Arc::new(Mutex::new(world));
        let job = JobId::from_bytes(Digest::of(&seed.to_be_bytes()).as_bytes()[..16].try_into().unwrap());
        let process = process(store, sandbox, &world, &program, 2);
        process.set_manner(job, WATCHED);
        world.lock().unwrap().process = Arc::downgrade(&process);
        let told = BTreeMap::new();
        let space = Space::default_space();
        let (processes, signals, now_ms) = (2, 0, EPOCH_MS);
        Simulation { seed, dice, store, sandbox, job, space, program, world, process, processes, signals, told, now_ms }
    }

    async fn run(mut self) -> Vec<Vec<u8>> {
        SCRIPTED_RANDOM.set(Some(self.seed));
        crate::clock::SCRIPTED_MS.set(Some(self.now_ms));
        self.create().await;
        let mut fates = Dice(self.dice.next());
        let mut left = self.dice.below(7);
        let calm = self.dice.one_in(5);
        self.store.script(move || {
            if calm || left == 0 || !fates.one_in(6) {
                return Fate::Lives;
            }
            left -= 1;
            [Fate::FailsBefore, Fate::FailsAfter, Fate::DiesBefore, Fate::DiesAfter][usize::try_from(fates.below(4)).unwrap()]
        });
        let mut turns = 0;
        loop {
            self.quiet().await;
            if self.store.is_dead() {
                self.next_process();
            }
            let state = self.state();
            if state.status().is_final() {
                break;
            }
            turns += 1;
            assert!(turns < 500, "{}: it never ends", self.told_by_hand());
            self.now_ms += 1 + self.dice.below(50);
            crate::clock::SCRIPTED_MS.set(Some(self.now_ms));
            self.turn(&state, turns).await;
        }
        self.store.unscript();
        // What came too late is cleared away.
        let _ = steer(&self.process, &self.space, self.job, Word::Nothing).await;
        self.quiet().await;
        self.check();
        SCRIPTED_RANDOM.set(None);
        crate::clock::SCRIPTED_MS.set(None);
        self.store.scan(&EntryKey::of_job(&self.job), None, usize::MAX).unwrap().into_iter().map(|(_, row)| row).collect()
    }

    async fn create(&mut self) {
        let input = Json::from(&Value::Null);
        // A check that never holds would set the job aside for ever.
        let never_holds = self.program.iter().any(|op| matches!(op, Op::Check(_, false)));
        let options = Options {
            tries: 1 + u32::try_from(self.dice.below(3)).unwrap(),
            job_tries: 1 + u32::try_from(self.dice.below(2)).unwrap(),
            first_pause_ms: 0,
            when_exhausted: if self.dice.one_in(2) && !never_holds { WhenExhausted::Park } else { WhenExhausted::Fail },
            mode: [Mode::Normal, Mode::Strict, Mode::Guided][usize::try_from(self.dice.below(3)).unwrap()],
            ..Options::default()
        };
        let created = Body::Created {
            playbook_id: PlaybookId::parse("simulated").unwrap(),
            version: 1,
            component: Digest::of(b"none"),
            input_digest: input.digest(),
            input: self.store.save(&input).unwrap(),
            grants: Vec::new(),
            engine: "scripted".to_owned(),
            fuel: limits::JOB_FUEL,
            options: Box::new(options),
            parent: None,
            origin: None,
        };
        drop(Log::create(self.store, &self.space, self.job, created, None, 1).await.unwrap());
    }

    /// Until nothing is under way in the process.
    async fn quiet(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *self.process.tasks.lock().unwrap());
            if tasks.is_empty() {
                return;
            }
            // Those of a dead process come to their end too: nothing that they do is written.
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap_or_else(|e| panic!("{}: {e}", self.told_by_hand()));
            }
        }
    }

    fn next_process(&mut self) {
        self.processes += 1;
        self.store.revive();
        self.process = process(self.store, self.sandbox, &self.world, &self.program, self.processes);
        self.process.set_manner(self.job, WATCHED);
        self.world.lock().unwrap().process = Arc::downgrade(&self.process);
    }

    async fn turn(&mut self, state: &State, turns: u32) {
        if turns < 12 {
            match self.dice.below(8) {
                0 | 1 => return self.signal().await,
                2 if self.dice.one_in(4) => {
                    let cancel = CancelRequested { by: "ada".to_owned(), reason: None };
                    return self.say(Word::Mail(Mail::Cancel(cancel))).await;
                }
                3 => return self.say(Word::Mail(Mail::Pause(Paused { by: "ada".to_owned(), reason: None }))).await,
                4 if self.dice.one_in(2) => return self.next_process(),
                _ => {}
            }
        }
        match state.status() {
            Status::Ready | Status::Running => {
                let head = journal::head_of(self.store, &self.space, &self.job).unwrap().unwrap();
                assert!(is_free(&self.process, &head).unwrap(), "{}: nothing runs, and nobody may", self.told_by_hand());
                take_up(&self.process, &self.space, self.job, head.worker);
            }
            Status::Waiting if state.handed_over.is_some() => self.see_to(state).await,
            Status::Waiting => self.wake(state).await,
            Status::Paused | Status::Parked => {
                self.say(Word::entries(|_| Ok(vec![Body::Continued(Continued { by: "ada".to_owned(), budget: Default::default() })])))
                    .await;
            }
            Status::Uncertain => {
                let row = state.calls.last().unwrap();
                let decision = match self.world.lock().unwrap().happened(&row.key) {
                    true => Decision::Happened(self.store.save(&Json::from(&json!({"settled": true}))).unwrap()),
                    false => Decision::Retry,
                };
                let resolved = Resolved { call: row.call, decision, by: "ada".to_owned(), note: None };
                self.say(Word::entries(move |_| Ok(vec![Body::Resolved(resolved.clone())]))).await;
            }
            Status::Completed | Status::Failed | Status::Cancelled => unreachable!("it has ended"),
        }
    }

    /// A person says what becomes of a step. A call that was made is not made again unless it came to an error.
    async fn see_to(&mut self, state: &State) {
        let standing = state.handed_over.as_ref().unwrap();
        let given = || Decision::Happened(self.store.save(&Json::from(&json!({"given": true}))).unwrap());
        let decision = match self.dice.below(3) {
            0 => Decision::Fail(ToolError::new(ErrorKind::Failed, "let it be")),
            1 if standing.handed.at != Some(At::After) => Decision::Retry,
            _ => given(),
        };
        let resolved = Resolved { call: standing.handed.call, decision, by: "ada".to_owned(), note: None };
        self.say(Word::entries(move |_| Ok(vec![Body::Resolved(resolved.clone())]))).await;
    }

    async fn wake(&mut self, state: &State) {
        let wait = state.wait.as_ref().unwrap();
        match &wait.on {
            On::Signal { .. } if wait.until_ms.is_none() => self.signal().await,
            On::Approval { digest, .. } => {
                let verdict = Verdict { by: "ada".to_owned(), digest: *digest, answer: Json::from(&json!("yes")) };
                let by = if self.dice.one_in(3) { Wake::Rejected(verdict) } else { Wake::Approved(verdict) };
                let woken = Woken { wait: wait.wait, by };
                self.say(Word::entries(move |_| Ok(vec![Body::Woken(woken.clone())]))).await;
            }
            _ => {
                self.now_ms = self.now_ms.max(wait.until_ms.unwrap_or(self.now_ms));
                crate::clock::SCRIPTED_MS.set(Some(self.now_ms));
                self.say(Word::Nothing).await;
            }
        }
    }

    /// A new signal, or one of before once more.
    async fn signal(&mut self) {
        let again = self.signals > 0 && self.dice.one_in(4);
        let n = if again { 1 + self.dice.below(self.signals) } else { self.signals + 1 };
        self.signals = self.signals.max(n);
        let mail = signal(self.store, n);
        let told = steer(&self.process, &self.space, self.job, Word::Mail(mail)).await.is_ok();
        *self.told.entry(n).or_default() |= told;
    }

    async fn say(&self, word: Word) {
        // Whoever is refused asks again, or for something else.
        let _ = steer(&self.process, &self.space, self.job, word).await;
    }

    fn state(&self) -> State {
        journal::fold(self.store, &self.space, &self.job).unwrap_or_else(|e| panic!("{}: {e}", self.told_by_hand()))
    }

    fn entries(&self) -> Vec<Entry> {
        journal::read(self.store, &self.space, &self.job, None, limits::PAGE_ROWS_MAX).unwrap()
    }

    fn told_by_hand(&self) -> String {
        let entries: Vec<String> = self.entries().iter().map(|entry| format!("{} {:?}", entry.seq, entry.body)).collect();
        format!("REPRISE_SEED={} of {:?}\n{}\n", self.seed, self.program, entries.join("\n"))
    }

    /// What must be true of every job that has ended.
    fn check(&self) {
        let (state, entries) = (self.state(), self.entries());
        let world = self.world.lock().unwrap();
        for key in &world.once {
            assert_eq!(world.effects[key], 1, "{}: {key} took effect more than once", self.told_by_hand());
        }
        for (at, keys) in &world.keys {
            assert_eq!(keys.len(), 1, "{}: the call at {at} had several keys", self.told_by_hand());
        }
        let given: BTreeSet<u64> = entries
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Resolved(Resolved { call, decision: Decision::Happened(output), .. }) => {
                    let output = self.store.load(output).unwrap().value();
                    output["given"].is_boolean().then_some(*call)
                }
                _ => None,
            })
            .collect();
        for row in state.calls.iter().filter(|row| !given.contains(&row.call)) {
            let returned = row.state == journal::CallState::Returned && row.effect == Effect::Once;
            assert!(!returned || world.happened(&row.key), "{}: call {} has an answer and never happened", self.told_by_hand(), row.call);
        }
        let meanwhile = (0..world.sent).map(|n| (MEANWHILE + n, false));
        for (n, told) in self.told.iter().map(|(n, told)| (*n, *told)).chain(meanwhile) {
            let Mail::Signal(sent) = signal(self.store, n) else { unreachable!("a signal is one") };
            let stored = |entry: &&Entry| matches!(&entry.body, Body::Signalled(signal) if signal.payload == sent.payload);
            let stored: Vec<u64> = entries.iter().filter(stored).map(|entry| entry.seq).collect();
            assert!(stored.len() <= 1 && (!told || stored.len() == 1), "{}: signal {n} is stored {stored:?}", self.told_by_hand());
            let takes = |entry: &&Entry| matches!(&entry.body, Body::Woken(Woken { by: Wake::Signal { seq }, .. }) if stored.contains(seq));
            let taken = entries.iter().filter(takes).count();
            let there = state.signals.iter().filter(|untaken| untaken.signal.payload == sent.payload).count();
            assert_eq!(taken + there, stored.len(), "{}: signal {n} was taken {taken} times", self.told_by_hand());
        }
        let mut before = journal::Tip::first(&self.job).hash;
        for entry in &entries {
            assert_eq!(entry.prev, before, "{}: the chain breaks at {}", self.told_by_hand(), entry.seq);
            before = entry.hash;
        }
        let head = journal::head_of(self.store, &self.space, &self.job).unwrap().unwrap();
        assert_eq!((head.last_hash, head.status, head.worker), (before, state.status(), None), "{}", self.told_by_hand());
        let of_job = |job: &JobId| *job == self.job;
        for status in Status::ALL {
            let key = StatusKey { status: status.number(), space: self.space.clone(), job_id: self.job };
            assert_eq!(self.store.get(&key).unwrap().is_some(), status == state.status(), "{}: its place as {status}", self.told_by_hand());
        }
        let timers = self.store.scan(&TimerKey::all(), None, 99).unwrap().iter().filter(|(key, _)| of_job(&key.job_id)).count();
        let mail = self.store.scan(&MailKey::of_job(&self.space, &self.job), None, 99).unwrap().len();
        let asked = self.store.scan(&ApprovalKey::of_space(&self.space), None, 99).unwrap();
        let asked = asked.iter().filter(|(key, _)| of_job(&key.job_id)).count();
        assert_eq!((timers, mail, asked), (0, 0, 0), "{}: rows are left over", self.told_by_hand());
        assert!(self.store.get(&JobKey { space: self.space.clone(), job_id: self.job }).unwrap().is_some());
    }
}

fn process(store: &Store, sandbox: &Sandbox, world: &Arc<Mutex<World>>, program: &Arc<Vec<Op>>, worker: u64) -> Arc<Shared> {
    let none: crate::jobs::Catalogue =
        Arc::new(|_, id| Err(crate::error::Error::new(crate::error::Code::ReplayPlaybookNotFound, id.to_string())));
    let mut shared = Shared::new(store.clone(), sandbox.clone(), registry(world), Rules::default(), none);
    let program = Arc::clone(program);
    let stands_in: Guest = Arc::new(move |effects| Box::pin(guest(Arc::clone(&program), effects)));
    shared.guest = Some(stands_in);
    shared.set_worker(worker);
    Arc::new(shared)
}

/// Runs these schedules on a store of their own, with signals while tools work or without.
fn simulate(disturbed: bool, seeds: impl Iterator<Item = u64>) -> Vec<Vec<Vec<u8>>> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::unflushed(dir.path());
    let sandbox = Sandbox::new(None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    seeds.map(|seed| runtime.block_on(Simulation::new(seed, disturbed, &store, &sandbox).run())).collect()
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text:?}: {e}")))
}

#[test]
fn whatever_fails_and_whoever_dies_the_promises_hold() {
    match asked("REPRISE_SEED") {
        Some(seed) => drop(simulate(true, seed..=seed)),
        None => drop(simulate(true, 0..asked("REPRISE_SCHEDULES").unwrap_or(SCHEDULES))),
    }
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    let seeds = || 0..100;
    let (first, second) = (simulate(false, seeds()), simulate(false, seeds()));
    for (seed, (first, second)) in seeds().zip(first.iter().zip(&second)) {
        let differs = first
            .iter()
            .zip(second)
            .find(|(first, second)| first != second)
            .map(|(first, second)| [first, second].map(|row| String::from_utf8_lossy(row)));
        assert!(!first.is_empty() && first == second, "seed {seed}: {differs:?}");
    }
    assert_ne!(first[0], first[1]);
}
