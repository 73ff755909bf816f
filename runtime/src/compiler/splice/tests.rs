//! Runs that got past a step, and what recordings say of what came of them.

use super::*;
use crate::compiler::diff::PlanDiff;
use crate::compiler::patch::{Base, Overlay, Patch, Shown};
use crate::compiler::rehearse::{self, Held, Leeway, Recording, Subject, Touched, Verdict, held};
use crate::compiler::{compile, emit};
use crate::ids::{Digest, Space};
use crate::sandbox::Sandbox;
use serde_json::json;

fn run(id: &str, inputs: Value, steps: &[Value]) -> Run {
    let mut lines = vec![json!({"run": {"run_id": id, "goal": "release", "inputs": inputs}}).to_string()];
    lines.extend(steps.iter().map(ToString::to_string));
    lines.push(json!({"end": {"status": "success"}}).to_string());
    crate::runs::Recording::read(lines.join("\n").as_bytes()).unwrap().as_run(&Space::default_space(), 0)
}

fn step(tool: &str, input: Value, output: Value) -> Value {
    json!({"tool": tool, "input": input, "output": output})
}

/// Reads a file with a place in it, edits it, tells somebody.
fn before(version: &str) -> Vec<Value> {
    vec![
        step("look", json!({"version": version}), json!({"file": "package-4711.json"})),
        step("edit", json!({"file": "package-4711.json", "to": version}), json!({"ok": true})),
        step("tell", json!({"text": format!("released {version}")}), json!({"told": true})),
    ]
}

/// The same where the file has moved: it is found first.
fn after(version: &str) -> Vec<Value> {
    vec![
        step("look", json!({"version": version}), json!({"file": "package-4711.json"})),
        step("find", json!({"name": "package-4711.json"}), json!({"place": "deep/in/manifest-99.toml"})),
        step("edit", json!({"file": "deep/in/manifest-99.toml", "to": version}), json!({"ok": true})),
        step("tell", json!({"text": format!("released {version}")}), json!({"told": true})),
    ]
}

struct World {
    sandbox: Sandbox,
    registry: Registry,
}

impl World {
    fn new() -> World {
        World { sandbox: Sandbox::new(None).unwrap(), registry: Registry::builtin() }
    }

    async fn plan(&self, run: &Run) -> Plan {
        compile(&self.sandbox, &self.registry, run, &Options::default()).await.unwrap().plan
    }

    fn patched(&self, plan: &Plan, patch: &Json) -> Plan {
        let patch = Patch::parse(&patch.value(), "/patch").unwrap();
        let shown: Vec<Shown> = plan.steps().map(Shown::of).collect();
        let base = Base { plan, shown: &shown, overlay: &Overlay::new(), recorded: true };
        patch.apply(&base, &Bindings::builtin(&self.registry), &self.registry).unwrap().plan
    }

    async fn held(&self, old: &Plan, new: &Plan, run: &Run) -> Held {
        let diff = PlanDiff::between(old, new);
        let (steps, removes, output) =
            (diff.touched(), !diff.removed().is_empty(), diff.fields.iter().any(|field| field.at.starts_with("output")));
        let component = emit::emit(new).unwrap();
        let subject = Subject { digest: Digest::of(&component), component };
        let recording = Recording::of(run, &Bindings::builtin(&self.registry));
        let (input, leeway) = (recording.input_of(new), |step: &str| steps.contains(step));
        let rehearsed = rehearse::rehearse(&self.sandbox, |_| true, &subject, &input, &recording, Leeway::Of(&leeway)).await.unwrap();
        held(&recording, &rehearsed, &Touched { steps: &steps, removes, output })
    }
}

#[tokio::test]
async fn a_run_that_got_past_the_step_becomes_a_patch_that_every_recording_can_judge() {
    let world = World::new();
    let first = run("first", json!({"version": "1.4.0"}), &before("1.4.0"));
    let second = run("second", json!({"version": "2.0.1"}), &after("2.0.1"));
    let plan = world.plan(&first).await;
    let patch = splice(&plan, &second, Some("s2"), &world.registry, &Options::default()).unwrap();
    let repaired = world.patched(&plan, &patch);
    assert_eq!(
        PlanDiff::between(&plan, &repaired).lines(),
        [
            "- s2 agent/edit (once) {file: s1/file, to: input.version}",
            "+ r1 agent/find (once) {name: s1/file}",
            "+ r2 agent/edit (once) {file: r1/place, to: input.version}",
        ]
    );
    let new = world.held(&plan, &repaired, &second).await;
    assert_eq!((new.verdict, new.calls_as_recorded, new.answered_to_the_end), (Verdict::Same, 4, true), "{new:?}");
    let old = world.held(&plan, &repaired, &first).await;
    assert_eq!((old.verdict, old.step.as_deref(), old.answered_to_the_end), (Verdict::Differs, Some("r1"), false), "{old:?}");
}

#[tokio::test]
async fn a_patch_that_breaks_what_it_does_not_touch_is_seen() {
    let world = World::new();
    let first = run("first", json!({"version": "1.4.0"}), &before("1.4.0"));
    let plan = world.plan(&first).await;
    let set = |step: &str, input: Value| Json::from(&json!({"step_patches": [{"step_id": step, "set": {"input": input}}]}));
    let other = world.patched(&plan, &set("s2", json!({"constant": {"file": "x", "to": "y"}})));
    let held = world.held(&plan, &other, &first).await;
    assert_eq!((held.verdict, held.step.as_deref(), held.calls_as_recorded), (Verdict::Differs, Some("s2"), 2), "{held:?}");
    // The plan changes a step, and nobody says so: what is not in the diff that one looks at breaks the recording.
    let held = world.held(&other, &other, &first).await;
    assert_eq!((held.verdict, held.step.as_deref()), (Verdict::Broken, Some("s2")), "{held:?}");
    // A value that the recording's answers do not have: the playbook fails as soon as that is seen.
    let missing = json!({"object": {"file": {"value": {"output": {"step": "s1", "pointer": "/nowhere"}}}}});
    let held = world.held(&plan, &world.patched(&plan, &set("s2", missing)), &first).await;
    assert_eq!((held.verdict, held.step.as_deref()), (Verdict::Broken, Some("s1")), "{held:?}");
    let removed = world.patched(&plan, &Json::from(&json!({"remove_steps": ["s2"]})));
    let held = world.held(&plan, &removed, &first).await;
    assert_eq!((held.verdict, held.calls_as_recorded), (Verdict::Differs, 2), "{held:?}");
    assert_eq!(world.held(&plan, &plan, &first).await.verdict, Verdict::Same);
}

#[tokio::test]
async fn a_run_that_does_something_else_is_refused_and_so_is_one_that_does_the_same() {
    let world = World::new();
    let plan = world.plan(&run("first", json!({"version": "1.4.0"}), &before("1.4.0"))).await;
    let same = run("same", json!({"version": "3.0.0"}), &before("3.0.0"));
    let without_look = run("other", json!({"version": "2.0.1"}), &after("2.0.1")[1..]);
    let refused = |run: &Run, at: Option<&str>| splice(&plan, run, at, &world.registry, &Options::default()).unwrap_err();
    let e = refused(&same, Some("s2"));
    assert!(e.code == Code::NotCompilable && e.message.contains("nothing to repair"), "{e}");
    let e = refused(&without_look, Some("s2"));
    assert!(e.code == Code::NotCompilable && e.message.contains("the call of step s1"), "{e}");
    let e = refused(&run("third", json!({"version": "2.0.1"}), &after("2.0.1")), Some("s9"));
    assert_eq!((e.code, e.issues[0].path.as_str()), (Code::InvalidRequest, "/failing_step"), "{e}");
}

/// The file has moved, and nothing else: what the later steps make of its content holds on.
#[tokio::test]
async fn a_call_that_others_speak_of_keeps_its_step_and_what_was_learned_of_the_others() {
    let world = World::new();
    let read = |path: &str, id: &str| {
        let answer = json!({"path": path, "bytes": 9, "json": {"id": id, "kind": "invoice"}});
        step("fs/read", json!({"path": path, "as": "json"}), answer)
    };
    let tell = |id: &str| step("tell", json!({"text": format!("paid {id}"), "of": "invoice"}), json!({"told": true}));
    let first = run("first", json!({"month": "2026-11"}), &[read("books/2026-11/a.json", "inv-4711"), tell("inv-4711")]);
    let second = run("second", json!({"month": "2026-12"}), &[read("books/paid/2026-12/a.json", "inv-9999"), tell("inv-9999")]);
    let plan = world.plan(&first).await;
    let patch = splice(&plan, &second, Some("s1"), &world.registry, &Options::default()).unwrap();
    let repaired = world.patched(&plan, &patch);
    let lines = PlanDiff::between(&plan, &repaired).lines();
    assert_eq!(lines, [r#"~ s1 input/path: "books/" + input.month + "/a.json" -> "books/paid/" + input.month + "/a.json""#]);
    let new = world.held(&plan, &repaired, &second).await;
    assert_eq!((new.verdict, new.calls_as_recorded, new.answered_to_the_end), (Verdict::Same, 2, true), "{new:?}");
}
