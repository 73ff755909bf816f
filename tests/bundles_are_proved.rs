//! A bundle whose every digest is right may still lie: what it says is shown before it is kept, and secrets are in none.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use reprise::bundles::{Bundle, Home, Origin};
use reprise::compiler::Options;
use reprise::engine::{CompileRequest, Engine, Installation, LearnRequest, RepairRequest, RepairWith, Settings, ToolUpload, Wanted};
use reprise::error::Result;
use reprise::ids::{Digest, PlaybookId, SecretName, Space};
use reprise::json::Json;
use reprise::lifecycle::Status;
use reprise::runs::Recording;
use reprise::secrets::SecretText;
use serde_json::json;

use crate::support::guests::{Provided, provider};

/// An engine on an empty data directory, and what is kept there.
struct Rig {
    engine: Engine,
    data: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let data = tempfile::tempdir().unwrap();
        Rig { engine: Engine::open(&Settings::of(data.path())).unwrap(), data }
    }

    async fn install(&self, bundle: Bundle) -> Result<Installation> {
        self.engine.install(&Space::default_space(), bundle, false).await
    }

    /// With this tool, and with a playbook that calls it.
    async fn packed(&self, tool: Provided<'_>) -> Bundle {
        self.engine.upload_tools(ToolUpload { namespace: None, bytes: provider(tool) }).await.unwrap();
        self.recorded("r", r#"{"tool": "test/tool", "input": {"word": "w"}, "output": "done"}"#).await;
        self.pack().await.unwrap()
    }

    async fn recorded(&self, run: &str, step: &str) {
        let text = format!("{{\"run\": {{\"run_id\": \"{run}\", \"goal\": \"g\"}}}}\n{step}\n{{\"end\": {{\"status\": \"success\"}}}}\n");
        let (space, recording) = (Space::default_space(), Recording::read(text.as_bytes()).unwrap());
        let run_id = self.engine.runs().import(&space, recording).await.unwrap();
        let request = CompileRequest {
            run_id,
            wanted: Wanted {
                matchers: Some(Json::from(&json!({"repo": "mine"}))),
                risk_profile: "low".to_owned(),
                metadata: Some(Json::from(&json!({"by": "me"}))),
                ..Wanted::plain(Some(PlaybookId::parse("p").unwrap()), Options::default())
            },
        };
        self.engine.compile_from_run(&space, request).await.unwrap();
    }

    async fn pack(&self) -> Result<Bundle> {
        self.engine.pack(&Space::default_space(), &PlaybookId::parse("p").unwrap(), None, &[]).await.map(|(bundle, _)| bundle)
    }

    /// How many there are.
    fn blobs(&self) -> usize {
        let shards = std::fs::read_dir(self.data.path().join("blobs")).unwrap();
        shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }

    fn keeps_nothing(&self) -> bool {
        let space = Space::default_space();
        self.blobs() == 0
            && self.engine.playbooks(&space, None, 9).unwrap().is_empty()
            && self.engine.tool_namespaces().unwrap().is_empty()
            && self.engine.runs().list(&space, None, 9).unwrap().is_empty()
    }
}

/// Every digest is right in these: what they say is not true.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_bundle_says_is_not_believed_but_shown() {
    let here = Rig::new();
    let good = here.packed(Provided::default()).await;
    let other = Rig::new();
    let another = other.packed(Provided { effect: 3, answer: "\"other\"", ..Provided::default() }).await;
    let recording = |from: &str, to: &str| {
        let text = String::from_utf8(good.recordings[0].clone()).unwrap();
        assert!(text.contains(from), "{text}");
        vec![text.replace(from, to).into_bytes()]
    };
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        bundle
    };
    let cases: Vec<(Bundle, &str, &str)> = vec![
        (with(&|b| b.recordings = recording("\"w\"", "\"v\"")), "bundle_broken", "at step s1 it calls test/tool with"),
        (with(&|b| b.recordings = recording("\"run_id\":\"r\"", "\"run_id\":\"q\"")), "bundle_broken", "of run q"),
        (with(&|b| b.recordings = recording("success", "failed")), "replay_compile_requires_successful_run", "the recording"),
        (with(&|b| b.recordings = recording("{\"run\"", " {\"run\"")), "bundle_broken", "is not written as"),
        (with(&|b| b.recordings = vec![b"{}".to_vec()]), "bundle_broken", "line 1"),
        (with(&|b| b.recordings.clear()), "bundle_broken", "recording: is missing"),
        (with(&|b| b.manifest.origin = Origin::Uploaded {}), "bundle_broken", "compiled from none"),
        (with(&|b| b.plan = None), "bundle_broken", "plan: is missing"),
        (with(&|b| b.plan = another.plan.clone()), "bundle_broken", "is not the one that the component was made of"),
        // Its code is another one, and the plan in it is not.
        (
            with(&|b| {
                let at = b.component.windows(3).position(|bytes| bytes == b"\"w\"").unwrap();
                b.component[at + 1] = b'u';
                b.manifest.component = Digest::of(&b.component);
            }),
            "bundle_broken",
            "carries a plan that is not what it does",
        ),
        (with(&|b| b.manifest.name = "another".to_owned()), "bundle_broken", "the version's content is"),
        (with(&|b| b.manifest.playbook_id = PlaybookId::parse("q").unwrap()), "ok", ""),
        (with(&|b| b.manifest.starts = vec!["x".to_owned()]), "bundle_broken", "playbooks that are started"),
        (with(&|b| b.manifest.tools.clear()), "bundle_broken", "is not what the playbook imports"),
        (with(&|b| b.manifest.tools[0].from = Home::Builtin), "imports_unsatisfied", "said to be built in"),
        (with(&|b| b.manifest.tools[0].from = Home::Outside), "imports_unsatisfied", "only agent/… is"),
        (with(&|b| b.manifest.tools[0].effect = reprise::contract::Effect::Once), "imports_unsatisfied", "is pure here"),
        // The tool that it needs is not here and does not come.
        (
            with(&|b| {
                b.components.clear();
                b.manifest.components.clear();
            }),
            "imports_unsatisfied",
            "tool:test/tool",
        ),
        // The tool comes, and does something else when it is repeated.
        (
            with(&|b| {
                b.components = another.components.clone();
                b.manifest.components = another.manifest.components.clone();
            }),
            "imports_unsatisfied",
            "is once here, and the playbook was made for one that is pure",
        ),
        (
            with(&|b| {
                b.components[0] = b"\0asm".to_vec();
                b.manifest.components[0].digest = Digest::of(&b.components[0]);
            }),
            "not_a_component",
            "the tools test/…",
        ),
        (with(&|b| b.components[0].push(0)), "bundle_broken", "the tools test/…: the component has the digest"),
        (with(&|b| b.component.push(0)), "bundle_broken", "the playbook: the component has the digest"),
        (with(&|b| b.evidence = vec![b"{}".to_vec()]), "evidence_broken", "evidence 1"),
    ];
    let mut complaints = Vec::new();
    for (n, (bundle, code, says)) in cases.into_iter().enumerate() {
        let there = Rig::new();
        match (there.install(bundle).await, code) {
            (Ok(_), "ok") => continue,
            (Err(e), code) if e.code.as_str() == code && e.message.contains(says) => {}
            (came, _) => complaints.push(format!("case {n}, {says}: {came:?}")),
        }
        if !there.keeps_nothing() {
            complaints.push(format!("case {n} left something behind"));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    let there = Rig::new();
    assert!(there.keeps_nothing());
    there.install(good).await.unwrap();
    assert!(!there.keeps_nothing());
    let version = there.engine.playbook(&Space::default_space(), &PlaybookId::parse("p").unwrap(), None).unwrap();
    let packed = here.engine.playbook(&Space::default_space(), &PlaybookId::parse("p").unwrap(), None).unwrap();
    assert_eq!(version.identity(), packed.identity());
}

/// What was learned from several runs goes along with all of them, and is learned again before it is believed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_from_several_runs_is_learned_again_where_it_is_installed() {
    let (here, there) = (Rig::new(), Rig::new());
    let (space, id) = (Space::default_space(), PlaybookId::parse("p").unwrap());
    let mut run_ids = Vec::new();
    for (run, version) in [("a", "1.4.0"), ("b", "2.0.7"), ("c", "3.3.1")] {
        let text = format!(
            "{{\"run\": {{\"run_id\": \"{run}\", \"goal\": \"tag it\", \"inputs\": {{\"version\": \"{version}\"}}}}}}\n{}\n{}\n",
            json!({"tool": "fs/write", "input": {"path": "project/VERSION", "text": format!("{version}\n")}, "output": {"path": "project/VERSION"}}),
            json!({"end": {"status": "success"}})
        );
        run_ids.push(here.engine.runs().import(&space, Recording::read(text.as_bytes()).unwrap()).await.unwrap());
    }
    let wanted = Wanted::plain(Some(id.clone()), Options::default());
    here.engine.compile_from_runs(&space, LearnRequest { run_ids, wanted }).await.unwrap();
    let good = here.pack().await.unwrap();
    assert_eq!((good.recordings.len(), good.manifest.bundle_version), (3, 2));
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        bundle
    };
    let learned = |bundle: &mut Bundle, change: &dyn Fn(&mut Vec<reprise::bundles::LearnedFrom>)| {
        if let Origin::Compiled(compiled) = &mut bundle.manifest.origin {
            change(&mut compiled.learned_from);
        }
    };
    let other =
        |b: &mut Bundle| b.recordings[1] = String::from_utf8(b.recordings[1].clone()).unwrap().replace("2.0.7\\n", "2.0.8\\n").into_bytes();
    for (bundle, code, says) in [
        (with(&|b| drop(b.recordings.pop())), "bundle_broken", "there are 2, and the playbook was compiled from 3"),
        (with(&|b| b.recordings.swap(1, 2)), "bundle_broken", "of run c, and the playbook of run b"),
        (with(&other), "not_compilable", "the recordings"),
        (with(&|b| learned(b, &|runs| runs.swap(0, 1))), "bundle_broken", "names another run first"),
        (with(&|b| learned(b, &|runs| runs.clear())), "bundle_broken", "there are 3, and the playbook was compiled from 1"),
        (
            with(&|b| {
                b.recordings.truncate(2);
                learned(b, &|runs| runs.truncate(2));
            }),
            "bundle_broken",
            "",
        ),
    ] {
        let e = there.install(bundle).await.unwrap_err();
        assert!(e.code.as_str() == code && e.message.contains(says), "{says}: {e}");
        assert!(there.keeps_nothing(), "{says}");
    }
    // As a file, and back.
    let file = there.data.path().join("p.tar");
    good.write_file(&file).unwrap();
    let read = Bundle::read(&file).unwrap();
    assert!(read == good, "what was written is what is read");
    let installed = there.install(read).await.unwrap();
    assert_eq!(installed.source_runs, ["a", "b", "c"]);
    let (packed, version) = (here.engine.playbook(&space, &id, None).unwrap(), there.engine.playbook(&space, &id, None).unwrap());
    assert_eq!((version.identity(), &version.provenance.source_runs), (packed.identity(), &packed.provenance.source_runs));
    assert!(there.pack().await.unwrap() == good, "and packed again it is the same, to the day of its recordings");

    // No recordings compile to what was repaired.
    let patch = json!({"step_patches": [{"step_id": "s1", "set": {"options": {"tries": 2}}}]});
    let repair = RepairRequest {
        playbook_id: id.clone(),
        from_version: None,
        with: RepairWith::Patch(patch),
        author: None,
        note: None,
        review_required: true,
        target_status: Status::Draft,
        metadata: None,
        by_operator: true,
    };
    let version = here.engine.repair(&space, repair).await.unwrap().version.version;
    let e = here.engine.pack(&space, &id, Some(version), &[]).await.unwrap_err();
    assert!(e.code.as_str() == "not_compilable" && e.message.contains("was repaired"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_same_name_that_says_something_else_stands_in_the_way() {
    let here = Rig::new();
    let bundle = here.packed(Provided::default()).await;
    for (step, code) in [
        (r#"{"tool": "agent/mine", "input": {}, "output": 1}"#, "run_ended"),
        (r#"{"tool": "test/tool", "input": {"word": "w"}, "output": "other"}"#, "id_conflict"),
    ] {
        let there = Rig::new();
        there.recorded("r", step).await;
        let before = there.blobs();
        let e = there.install(bundle.clone()).await.unwrap_err();
        assert_eq!(e.code.as_str(), code, "{e}");
        assert!(there.engine.tool_namespaces().unwrap().is_empty());
        assert_eq!(there.blobs(), before, "it is refused before anything is written");
    }
}

const ASKS_FOR_MORE: Provided<'_> = Provided {
    name: "test/tool",
    effect: 0,
    schemas: ["{}", "{}"],
    imports: "import wasi:cli/environment@0.2.0;",
    packages: "package wasi:cli@0.2.0 { interface environment { get-environment: func() -> list<tuple<string, string>>; } }",
    core: r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $get (param i32)))"#,
    call: "",
    answer: "\"done\"",
};

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_asks_for_more_than_the_active_one_is_kept_and_not_called() {
    let (here, there) = (Rig::new(), Rig::new());
    let bundle = here.packed(ASKS_FOR_MORE).await;
    there.engine.upload_tools(ToolUpload { namespace: None, bytes: provider(Provided::default()) }).await.unwrap();
    let shown = |installed: &Installation| serde_json::to_value(&installed.tools[0]).unwrap();
    let would = there.engine.install(&Space::default_space(), bundle.clone(), true).await.unwrap();
    let installed = there.install(bundle.clone()).await.unwrap();
    for installed in [would, installed, there.install(bundle.clone()).await.unwrap()] {
        let tool = shown(&installed);
        assert_eq!((&tool["version"], &tool["activation"]), (&json!(2), &json!("needs_approval")), "{tool}");
        assert_eq!(tool["permission_diff"]["added"], json!(["see granted variables"]));
    }
    assert_eq!(there.engine.tool_namespaces().unwrap()[0].active_version, 1);
    // Where there was none, it is called as any first version is; what it reaches, an operator grants.
    assert_eq!(shown(&Rig::new().install(bundle).await.unwrap())["activation"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_value_of_a_secret_is_not_packed() {
    let here = Rig::new();
    here.packed(Provided::default()).await;
    let canary = "canary-4711-canary";
    here.recorded("s", &format!(r#"{{"tool": "agent/say", "input": {{"word": "{canary}"}}, "output": 1}}"#)).await;
    // It asks for more than the one before.
    here.engine.activate_playbook(&Space::default_space(), &PlaybookId::parse("p").unwrap(), 2, None, None).await.unwrap();
    here.pack().await.expect("as long as it is no secret");
    here.engine.set_secret(&SecretName::parse("key").unwrap(), SecretText::new(canary.to_owned())).await.unwrap();
    let e = here.pack().await.unwrap_err();
    assert_eq!(e.code.as_str(), "secret_in_bundle", "{e}");
    assert!(!e.message.contains(canary));
}
