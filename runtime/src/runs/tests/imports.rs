//! Whole recordings: again, grown, contradicting, large; and out and in again.

use super::*;
use crate::error::Code;
use crate::ids::StepId;
use crate::runs::settle::Next;

fn recording(text: &str) -> Recording {
    Recording::read(text.as_bytes()).unwrap()
}

const FILE: &str = r#"{"run": {"run_id": "r", "goal": "g", "inputs": {"v": 2}}}
{"tool": "fs/read", "input": {"path": "a"}, "output": "text"}
{"tool": "edit", "input": {}, "status": "failed", "error": "no such line"}
{"tool": "edit", "input": {"line": 3}, "status": "pending"}
"#;

#[tokio::test]
async fn a_file_is_the_run_that_it_describes_and_importing_it_again_changes_nothing() {
    let house = House::new();
    let file = recording(FILE);
    assert_eq!(house.runs.import(&house.space, file.clone()).await.unwrap().as_str(), "r");
    let first = house.get("r");
    assert_eq!(timeless(first.clone()), file.as_run(&house.space, 0));
    house.runs.import(&house.space, file).await.unwrap();
    assert_eq!(house.get("r"), first);
    // The same by single requests: the second step is the one that followed from its content.
    let step = json!({"run_id": "r", "step_index": 2, "tool_name": "edit", "tool_input": {}});
    assert_eq!(house.send("before", step).await.unwrap()["step_id"], first.steps[1].step_id.as_str());
    assert_eq!(house.get("r"), first);
}

#[tokio::test]
async fn a_file_that_has_grown_adds_what_is_new() {
    let house = House::new();
    house.runs.import(&house.space, recording(FILE)).await.unwrap();
    let ended = r#"{"end": {"status": "success"}}"#;
    let grown = FILE.replace(r#""status": "pending""#, r#""output": 1"#) + "{\"tool\": \"t\"}\n" + ended;
    house.runs.import(&house.space, recording(&grown)).await.unwrap();
    assert_eq!(timeless(house.get("r")), recording(&grown).as_run(&house.space, 0));
    // The shorter file says nothing else, only less.
    house.runs.import(&house.space, recording(FILE)).await.unwrap();
    assert_eq!(timeless(house.get("r")), recording(&grown).as_run(&house.space, 0));
}

#[tokio::test]
async fn a_file_that_contradicts_what_is_stored_is_refused_and_nothing_of_it_is_kept() {
    let house = House::new();
    house.runs.import(&house.space, recording(FILE)).await.unwrap();
    let first = house.get("r");
    let more = "{\"tool\": \"new\"}\n";
    let named = FILE
        .replace(r#"{"tool": "edit", "input": {}"#, &format!(r#"{{"step_id": "{}", "tool": "edit", "input": 1"#, first.steps[1].step_id));
    for (text, at) in [
        (FILE.replace(r#""goal": "g""#, r#""goal": "h""#) + more, "run \"r\" was started"),
        (FILE.replace(r#""output": "text""#, r#""output": "texts""#) + more, "step 1 of the recording: the result of step"),
        (named + more, "step 2 of the recording: step"),
    ] {
        let e = house.runs.import(&house.space, recording(&text)).await.unwrap_err();
        assert_eq!(e.code, Code::IdConflict, "{text}");
        assert!(e.message.starts_with(at), "{e}");
        assert!(e.details.unwrap().get("stored").is_some());
        assert_eq!(house.get("r"), first);
    }
    let ended = FILE.to_owned() + r#"{"end": {"status": "success"}}"#;
    house.runs.import(&house.space, recording(&ended)).await.unwrap();
    let ended = house.get("r");
    for (text, code, at) in [
        (FILE.to_owned() + more, Code::RunEnded, "step 4 of the recording"),
        (FILE.replace(r#""status": "pending""#, r#""output": 1"#), Code::RunEnded, "step 3 of the recording"),
        (FILE.to_owned() + r#"{"end": {"status": "failed"}}"#, Code::IdConflict, "run \"r\" was ended"),
    ] {
        let e = house.runs.import(&house.space, recording(&text)).await.unwrap_err();
        assert_eq!(e.code, code, "{text}");
        assert!(e.message.starts_with(at), "{e}");
        assert_eq!(house.get("r"), ended);
    }
}

#[tokio::test]
async fn two_steps_of_a_file_that_would_be_one_are_refused() {
    let house = House::new();
    let twins = "{\"run\": {\"run_id\": \"r\", \"goal\": \"g\"}}\n".to_owned() + &"{\"tool\": \"t\", \"step_index\": 1}\n".repeat(2);
    let e = house.runs.import(&house.space, recording(&twins)).await.unwrap_err();
    assert_eq!(e.message, "steps 1 and 2 of the recording: have the same step_index and content; give each a step_id");
    assert!(house.runs.list(&house.space, None, 10).unwrap().is_empty());
}

/// A file whose rows take two batches.
fn large_file() -> String {
    let step = |n| format!("{{\"tool\": \"t\", \"input\": \"{n} {}\", \"output\": \"{}\"}}\n", "i".repeat(30_000), "o".repeat(30_000));
    let steps: String = (0..200).map(step).collect();
    "{\"run\": {\"run_id\": \"r\", \"goal\": \"g\"}}\n".to_owned() + &steps + "{\"end\": {\"status\": \"success\"}}"
}

#[tokio::test]
async fn an_import_that_was_cut_short_leaves_a_run_in_progress_and_is_completed_by_another() {
    let house = House::new();
    let file = recording(&large_file());
    let step_ids = import::step_ids(&house.space, &file).unwrap();
    let Next::Write(batch, Some(rest)) = house.runs.portion(&house.space, &file, &step_ids, 0, 1).unwrap() else {
        panic!("it fits into one")
    };
    house.runs.store.commit(batch).await.unwrap();
    let house = house.reopened();
    let cut = house.get("r");
    assert_eq!((cut.steps.len(), cut.status()), (rest, None));
    house.runs.import(&house.space, file.clone()).await.unwrap();
    assert_eq!(timeless(house.get("r")), file.as_run(&house.space, 0));
}

#[tokio::test]
async fn a_file_too_large_for_one_batch_is_stored_in_several() {
    let house = House::new();
    let text = large_file();
    let file = recording(&text);
    house.runs.import(&house.space, file.clone()).await.unwrap();
    assert_eq!(timeless(house.get("r")), file.as_run(&house.space, 0));
    house.runs.import(&house.space, file).await.unwrap();

    // Refused for its last step, it leaves nothing of those before.
    let contrary = text.replace("\"end\": {\"status\": \"success\"}", "\"tool\": \"last\", \"step_id\": \"z\"");
    let contrary = recording(&contrary.replace("\"run_id\": \"r\"", "\"run_id\": \"q\""));
    house.send_all(&[("start", json!({"run_id": "q", "goal": "g"})), before("q", "z", 201)]).await;
    house.send_all(&[]).await;
    assert_eq!(house.runs.import(&house.space, contrary).await.unwrap_err().code, Code::IdConflict);
    assert_eq!(house.get("q").steps.len(), 1);
}

#[tokio::test]
async fn values_too_large_for_a_row_are_imported_too() {
    let house = House::new();
    let text = format!("{{\"run\": {{\"goal\": \"g\"}}}}\n{{\"tool\": \"t\", \"input\": \"{}\"}}\n", "x".repeat(1_000_000));
    let run_id = house.runs.import(&house.space, recording(&text)).await.unwrap();
    assert_eq!(timeless(house.get(run_id.as_str())), recording(&text).as_run(&house.space, 0));
    assert_eq!(house.blobs(), 1);
}

/// The body of a step with what came of it, most fields now and then.
fn any_step() -> impl Strategy<Value = (Value, Option<Value>)> {
    let maybe = || prop::option::of(any_value());
    let object = || prop::option::of(any_object());
    let before =
        (1_u32..5, "[a-z/_]{1,8}", any_value(), maybe(), prop::collection::vec(any_object(), 0..3), object(), object(), 0_usize..3);
    let refs = prop::collection::vec(prop_oneof!["[a-z]{1,5}".prop_map(Value::from), any_object()], 0..3);
    let status = prop::sample::select(StepStatus::NAMES).prop_map(|(name, _)| name);
    let note = prop::option::of(".{1,9}");
    let after = (status, maybe(), maybe(), refs, any::<bool>(), note, prop::option::of("[^\u{0}]{1,9}"), object());
    (before, prop::option::of(after)).prop_map(|((index, tool, input, expected, conditions, retry, metadata, safety), after)| {
        let before = json!({"step_index": index, "tool_name": tool, "tool_input": input, "expected_output_signature": expected,
            "preconditions": conditions, "retry_policy": retry, "metadata": metadata, "safety_level": SafetyLevel::NAMES[safety].0});
        let after = after.map(|(status, output, signature, refs, repaired, note, error, metadata)| {
            json!({"status": status, "output": output, "output_signature": signature, "artifact_refs": refs,
                "repair_applied": repaired, "repair_note": note, "error": error, "metadata": metadata})
        });
        (before, after)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_run_written_as_a_file_and_imported_elsewhere_is_the_same_run(
        goal in ".{1,20}",
        inputs in prop::option::of(any_object()),
        steps in prop::collection::vec(any_step(), 0..6),
        end in prop::option::of((any_value(), prop::option::of(any_object()))),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (here, there) = (House::new(), House::new());
            here.send_all(&[("start", json!({"run_id": "r", "goal": goal, "inputs": inputs}))]).await;
            for (n, (before, after)) in steps.iter().enumerate() {
                let id = json!({"run_id": "r", "step_id": format!("s{n}")});
                here.send_all(&[("before", with(before, id.clone()))]).await;
                if let Some(after) = after {
                    here.send_all(&[("after", with(after, id))]).await;
                }
            }
            if let Some((output, metrics)) = end {
                here.send_all(&[("end", json!({"run_id": "r", "status": "partial", "output": output, "metrics": metrics}))]).await;
            }
            let run = here.get("r");
            let mut file = Vec::new();
            Recording::from(&run).write(&mut file).unwrap();
            let read = Recording::read(&file[..]).unwrap();
            assert_eq!(timeless(read.as_run(&here.space, 0)), timeless(run.clone()));
            there.runs.import(&there.space, read.clone()).await.unwrap();
            assert_eq!(timeless(there.get("r")), timeless(run.clone()));
            // And it is the same to the house where it came from: nothing to add.
            here.runs.import(&here.space, read).await.unwrap();
            assert_eq!(here.get("r"), run);
        });
    }
}

#[tokio::test]
async fn a_run_recorded_at_the_limits_can_be_written_and_read_back() {
    let house = House::new();
    let value = || json!("\u{1}".repeat((crate::limits::JSON_BYTES_MAX - 2) / 6));
    let deep = (0..crate::limits::RECORDED_DEPTH_MAX - 1).fold(Value::Null, |inner, _| json!([inner]));
    let meta = || json!({"m": "\u{1}".repeat(10_000)});
    house
        .send_all(&[
            ("start", json!({"run_id": "r", "goal": "\u{1}".repeat(10_000), "inputs": {"d": deep}, "metadata": meta()})),
            ("before", json!({"run_id": "r", "step_id": "s", "step_index": u32::MAX, "tool_name": "t", "tool_input": value(), "expected_output_signature": value(), "metadata": meta()})),
            ("after", json!({"run_id": "r", "step_id": "s", "status": "failed", "output": value(), "output_signature": value(), "metadata": meta(), "repair_note": "\u{1}".repeat(10_000)})),
            ("end", json!({"run_id": "r", "status": "failed", "output": [deep], "metrics": meta()})),
        ])
        .await;
    let mut file = Vec::new();
    Recording::from(&house.get("r")).write(&mut file).unwrap();
    assert_eq!(timeless(Recording::read(&file[..]).unwrap().as_run(&house.space, 0)), timeless(house.get("r")));
    assert_eq!(Recording::read(&file[..]).unwrap().steps[0].before.step_id, Some(StepId::parse("s").unwrap()));
}
