//! Compiling a run, and instantiating what came of it.

use std::path::Path;
use std::time::{Duration, Instant};

use reprise::compiler::{self, Options, emit};
use reprise::ids::Digest;
use reprise::json::Json;
use reprise::limits;
use reprise::runs::Run;
use reprise::sandbox::{Sandbox, Scripted};
use reprise::tools::Registry;

use super::guest;
use super::report::{Report, median, time};

pub(super) async fn emit_and_prove(report: &mut Report) {
    let (run, tools, options) = (guest::recorded(20), Registry::builtin(), Options::default());
    let mut cold = Vec::new();
    for _ in 0..report.rounds(30) {
        // A sandbox of its own knows no machine code yet.
        let sandbox = Sandbox::new(None).expect("the engine starts");
        let start = Instant::now();
        compiler::compile(&sandbox, &tools, &run, &options).await.expect("the run compiles");
        cold.push(start.elapsed());
    }
    let sandbox = Sandbox::new(None).expect("the engine starts");
    let compiled = compiler::compile(&sandbox, &tools, &run, &options).await.expect("the run compiles");
    let mut warm = Vec::new();
    for _ in 0..report.rounds(200) {
        let start = Instant::now();
        compiler::compile(&sandbox, &tools, &run, &options).await.expect("the run compiles");
        warm.push(start.elapsed());
    }
    let emit = time(report.rounds(200), || drop(emit::emit(&compiled.plan).expect("the plan emits")));
    report.fact("component of 20 steps over 5 tools, plan included", format!("{} bytes", compiled.component.len()));
    report.fact("emit alone, 20 steps", format!("{emit:.1?}"));
    report.at_most("lift + emit + prove 20 steps, machine code known", median(warm), Duration::from_millis(2));
    report.at_most("lift + emit + prove 20 steps, with Cranelift", median(cold), Duration::from_millis(10));
}

/// Five runs of 200 steps become one playbook, which is held against each of them.
pub(super) async fn learn(report: &mut Report) {
    let tools = Registry::builtin();
    let of = |n: usize| {
        guest::recorded_of(200, &format!("1.{n}.0"), ["acme-widgets", "big-bolts", "cold-nuts", "dry-gears", "even-cogs"][n], 4_700 + n)
    };
    let runs: Vec<Run> = (0..5).map(of).collect();
    let options = Options::default();
    let mut cold = Vec::new();
    for _ in 0..report.rounds(10) {
        let sandbox = Sandbox::new(None).expect("the engine starts");
        let start = Instant::now();
        let learned = compiler::compile_runs(&sandbox, &tools, &runs, &options).await.expect("the runs compile");
        cold.push(start.elapsed());
        drop(learned);
    }
    let sandbox = Sandbox::new(None).expect("the engine starts");
    let mut warm = Vec::new();
    for _ in 0..=report.rounds(20) {
        let start = Instant::now();
        let learned = compiler::compile_runs(&sandbox, &tools, &runs, &options).await.expect("the runs compile");
        warm.push(start.elapsed());
        drop(learned);
    }
    report.at_most("learn 200 steps from 5 runs + prove on each, machine code known", median(warm), Duration::from_millis(50));
    report.at_most("learn 200 steps from 5 runs + prove on each, with Cranelift", median(cold), Duration::from_millis(50));
}

pub(super) async fn instantiate(home: &Path, report: &mut Report) {
    let (run, tools) = (guest::recorded(20), Registry::builtin());
    let cache = home.join("cache");
    let sandbox = Sandbox::new(Some(&cache)).expect("the engine starts");
    let compiled = compiler::compile(&sandbox, &tools, &run, &Options::default()).await.expect("the run compiles");
    let digest = Digest::of(&compiled.component);
    let playbook = sandbox.ready(&digest).expect("it was just proved");
    let (mut starts, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds(2_000) {
        let start = Instant::now();
        sandbox.try_start(&playbook).await.expect("it starts");
        starts.push(start.elapsed());
        let start = Instant::now();
        let input = Json::parse(b"{}").expect("it is JSON");
        drop(sandbox.run(&playbook, &input, Box::new(Scripted::default()), limits::JOB_FUEL).await);
        runs.push(start.elapsed());
    }
    report.at_most("instantiate from memory", median(starts), Duration::from_micros(15));
    report.fact("instantiate, call run and fail on the missing input", format!("{:.1?}", median(runs)));
    let loads = (0..report.rounds(50)).map(|_| {
        let sandbox = Sandbox::new(Some(&cache)).expect("the engine starts");
        let start = Instant::now();
        sandbox.load(&digest, |_| true, || unreachable!("it is in the cache")).expect("it loads");
        start.elapsed()
    });
    report.at_most("load from a compiled file", median(loads.collect()), Duration::from_millis(1));
}
