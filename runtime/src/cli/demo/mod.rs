//! `reprise demo`: the whole story on real files, in seconds. Each line is there because a newcomer needs it.

mod agent;
mod interrupted;
mod learn;
mod refund;
mod tree;

use std::path::Path;

use serde_json::{Value, json};

use super::args::{Demo, DemoCommand};
use super::output::Output;
use super::{exit, jobs, show};
use crate::compiler::Options;
use crate::engine::{CompileRequest, CompiledVersion, Engine, Settings, Wanted};
use crate::error::{Code, Error, Result};
use crate::ids::{PlaybookId, Space};
use crate::journal::{Body, Entry};
use crate::limits;

/// Tells the story.
pub(super) async fn demo(args: Demo, output: &Output) -> Result<u8> {
    match args.other {
        Some(DemoCommand::Refund(args)) => return refund::demo(args, output).await,
        Some(DemoCommand::Learn(args)) => return learn::demo(args, output).await,
        None => {}
    }
    let home = tempfile::Builder::new().prefix("reprise-demo-").tempdir().map_err(|e| cannot("make a temporary directory", &e))?;
    let told = Story { home: home.path(), output, space: Space::default_space() }.tell().await;
    if args.keep || told.is_err() {
        let home = home.keep();
        output.say(format!("\nEverything is kept in {}", home.display()));
    }
    told.map(|report| {
        output.show(|| report, String::new);
        exit::OK
    })
}

fn cannot(what: &str, e: &std::io::Error) -> Error {
    Error::new(Code::StoreUnavailable, format!("cannot {what}: {e}"))
}

struct Story<'a> {
    home: &'a Path,
    output: &'a Output,
    space: Space,
}

impl Story<'_> {
    async fn tell(&self) -> Result<Value> {
        let (first, second) = (self.home.join("acme-widgets"), self.home.join("zephyr-clocks"));
        tree::make(&first, "acme-widgets", "1.3.0").map_err(|e| cannot("write the first project", &e))?;
        tree::make(&second, "zephyr-clocks", "0.9.2").map_err(|e| cannot("write the second project", &e))?;
        let engine = self.open().await?;

        self.chapter("1. An agent works, and its tool calls are recorded");
        self.output.say(format!("   Two real projects were made: {} (at 1.3.0) and {} (at 0.9.2).", first.display(), second.display()));
        self.output.say("   On the first, an agent prepares release 1.4.0. One of its attempts fails, and it corrects itself:");
        let run_id = agent::prepare_release(&engine, &self.space, &first, self.output).await?;

        self.chapter("2. The run is compiled into a WebAssembly component, and proved");
        let made = self.compile(&engine, &run_id).await?;
        self.output.say(indented(&show::compiled(&made.compiled)));

        self.chapter("3. The component says what it may reach: its import list is its permission list");
        let inspection = engine.inspect(made.compiled.component.clone()).await?;
        for import in &inspection.imports {
            self.output.say(format!("   {:<18} {}", import.import, import.allows));
        }
        self.output.say(format!("   It cannot {}.", inspection.cannot.join(", ")));
        self.output.say("   (`reprise inspect` shows all of it.)");
        drop(engine);

        self.chapter("4. It runs on the second project, and is killed in the middle");
        let killed = interrupted::run_and_kill(self.home, &second, self.output).await?;

        self.chapter("5. It is resumed from its journal; nothing is done twice");
        let engine = self.open().await?;
        let view = interrupted::resume(&engine, &self.space, &killed, self.output).await?;
        let entries = engine.journal(&self.space, &killed.job, None, limits::PAGE_ROWS_MAX)?;
        self.output.say(indented(&jobs::as_table(&entries)));
        let calls = once_each(&entries)?;
        tree::check(&second, "zephyr-clocks", "0.9.2", "1.0.0")?;
        self.output.say(format!("   Each of the {calls} tool calls stands in the journal exactly once, and every file of zephyr-clocks was changed exactly once:"));
        self.output.say(indented(&tree::excerpt(&second)));
        self.output.say("Now your own: record a run (docs/RECORDING.md), `reprise compile`, `reprise inspect`, `reprise run`.");
        Ok(json!({
            "run_id": run_id, "playbook_id": made.version.playbook_id, "version": made.version.version, "proof": made.compiled.proof,
            "job": view.to_json(), "killed_after_seq": killed.last_seq, "calls": calls,
        }))
    }

    async fn open(&self) -> Result<Engine> {
        let settings = Settings::of(self.home.join("data"));
        crate::blocking::run(move || Engine::open(&settings)).await
    }

    async fn compile(&self, engine: &Engine, run_id: &crate::ids::RunId) -> Result<CompiledVersion> {
        let request = CompileRequest {
            run_id: run_id.clone(),
            wanted: Wanted {
                name: Some("Prepare a release".to_owned()),
                ..Wanted::plain(Some(PlaybookId::parse("release")?), Options::default())
            },
        };
        engine.compile_from_run(&self.space, request).await
    }

    fn chapter(&self, title: &str) {
        self.output.say(format!("\n{title}"));
    }
}

/// The number of tool calls, each of which must stand in the journal once.
fn once_each(entries: &[Entry]) -> Result<usize> {
    let mut keys: Vec<&str> =
        entries.iter().filter_map(|e| if let Body::Called { key, .. } = &e.body { Some(key.as_str()) } else { None }).collect();
    let calls = keys.len();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() == calls { Ok(calls) } else { Err(Error::new(Code::InternalError, "a call stands in the journal twice")) }
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n")
}
