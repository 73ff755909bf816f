//! Guests built from other languages: how long it takes until they answer.

use std::path::{Path, PathBuf};
use std::time::Instant;

use reprise::ids::Digest;
use reprise::sandbox::Sandbox;

use super::report::{Report, median};

/// Where the built tools are: `rust.wasm`, `javascript.wasm`, `python.wasm` and `c.wasm`. docs/PERFORMANCE.md says how to get them.
const PLACE: &str = "REPRISE_BENCH_GUESTS";

pub(super) async fn each(home: &Path, report: &mut Report) {
    let place = std::env::var_os(PLACE).map(PathBuf::from);
    for (language, file) in [("Rust", "rust"), ("C", "c"), ("JavaScript", "javascript"), ("Python", "python")] {
        let what = format!("a tool in {language}: instantiate / instantiate and have it describe itself");
        let found = place.as_ref().map(|place| place.join(format!("{file}.wasm"))).filter(|path| path.exists());
        let Some(path) = found else {
            report.fact(&what, format!("not measured: no {file}.wasm in ${PLACE}"));
            continue;
        };
        let bytes = std::fs::read(path).expect("the file can be read");
        let sandbox = Sandbox::new(Some(&home.join("languages"))).expect("the engine starts");
        let begun = Instant::now();
        let size = bytes.len();
        let provider = sandbox.load_provider(&Digest::of(&bytes), || Ok(bytes)).expect("it provides tools");
        let compiled = begun.elapsed();
        let (mut starts, mut described) = (Vec::new(), Vec::new());
        for _ in 0..report.rounds(200) {
            let start = Instant::now();
            sandbox.try_start_provider(&provider).await.expect("it starts");
            starts.push(start.elapsed());
            let start = Instant::now();
            sandbox.describe(&provider).await.expect("it describes itself");
            described.push(start.elapsed());
        }
        report.fact(&what, format!("{:.1?} / {:.1?}", median(starts), median(described)));
        report.fact(&format!("  its size, and compiling it once, in {language}"), format!("{} KiB, {compiled:.1?}", size / 1024));
    }
}
