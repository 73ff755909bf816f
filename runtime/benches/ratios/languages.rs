//! Guests built from other languages: how long it takes until they answer, and a call of the tool in their templates.

use std::path::{Path, PathBuf};
use std::time::Instant;

use reprise::ids::Digest;
use reprise::json::Json;
use reprise::sandbox::{Question, Reach, Sandbox};

use super::report::{Report, median};

/// Where the built tools are: `rust.wasm`, `javascript.wasm`, `python.wasm` and `c.wasm`. docs/PERFORMANCE.md says how to get them.
const PLACE: &str = "REPRISE_BENCH_GUESTS";

pub(super) async fn each(home: &Path, report: &mut Report) {
    let place = std::env::var_os(PLACE).map(PathBuf::from);
    let input = Json::parse(br#"{"version":"1.2.3","part":"minor"}"#).expect("it is JSON");
    for (language, file) in [("Rust", "rust"), ("C", "c"), ("JavaScript", "javascript"), ("Python", "python")] {
        let what = format!("a tool in {language}: instantiate / and describe itself / instantiate and call");
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
        let (mut starts, mut described, mut called) = (Vec::new(), Vec::new(), Vec::new());
        let tool = sandbox.describe(&provider).await.expect("it describes itself").swap_remove(0).name;
        let question = Question { tool: &tool, key: "key", input: &input };
        for _ in 0..report.rounds(200) {
            let start = Instant::now();
            sandbox.try_start_provider(&provider).await.expect("it starts");
            starts.push(start.elapsed());
            let start = Instant::now();
            sandbox.describe(&provider).await.expect("it describes itself");
            described.push(start.elapsed());
            let start = Instant::now();
            sandbox.call_tool(&provider, question, Reach::default()).await.answer.expect("it answers");
            called.push(start.elapsed());
        }
        report.fact(&what, format!("{:.1?} / {:.1?} / {:.1?}", median(starts), median(described), median(called)));
        report.fact(&format!("  its size, and compiling it once, in {language}"), format!("{} KiB, {compiled:.1?}", size / 1024));
    }
}
