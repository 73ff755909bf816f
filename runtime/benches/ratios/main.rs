//! `cargo bench`: what each promise about speed costs on this machine, as a ratio to what the machine itself
//! takes in the same run. Numbers of one run belong together; never compare them across machines.

mod compile;
mod durable;
mod guest;
mod languages;
mod machine;
mod matching;
mod over_http;
mod report;
mod tools;
mod waits;
mod walls;

use report::Report;

fn main() {
    // `cargo test --benches` runs this too, with --test: then it only shows that every case works.
    let quick = std::env::args().any(|argument| argument == "--test");
    // `cargo bench -- replay jobs` runs those cases only.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |case: &str| wanted.is_empty() || wanted.iter().any(|word| word == case);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a process can start threads");
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let mut report = Report::new(quick);
    runtime.block_on(async {
        let fdatasync = machine::fdatasync(home.path(), &mut report);
        if wants("compile") {
            compile::emit_and_prove(&mut report).await;
        }
        if wants("learn") {
            compile::learn(&mut report).await;
        }
        if wants("instantiate") {
            compile::instantiate(home.path(), &mut report).await;
        }
        if wants("match") {
            matching::among_ten_thousand(&mut report);
            matching::by_the_engine(home.path(), &mut report).await;
        }
        if wants("alone") {
            durable::alone(home.path(), fdatasync, &mut report).await;
        }
        if wants("together") {
            durable::together(home.path(), &mut report).await;
        }
        if wants("replay") {
            durable::replay(home.path(), &mut report).await;
        }
        if wants("signals") {
            waits::signalled(home.path(), &mut report).await;
        }
        if wants("parked") {
            waits::ten_thousand(home.path(), &mut report).await;
        }
        if wants("tools") {
            tools::called(home.path(), &mut report).await;
        }
        if wants("languages") {
            languages::each(home.path(), &mut report).await;
        }
        if wants("walls") {
            walls::neighbour(home.path(), &mut report).await;
        }
        if wants("recording") {
            over_http::recording(home.path(), &mut report).await;
        }
        if wants("jobs") {
            over_http::jobs(home.path(), &mut report).await;
        }
    });
    print!("{report}");
}
