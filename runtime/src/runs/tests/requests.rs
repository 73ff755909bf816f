//! Each request: its first answer, its repeat, its contradiction, and what it may not do.

use super::*;
use crate::error::Code;
use crate::ids::StepId;
use crate::limits;
use crate::runs::settle::Next;
use crate::store::{Batch, CommitError, RunKey, StepKey};

#[tokio::test]
async fn every_request_sent_again_is_answered_as_the_first_time_even_by_a_later_process() {
    let house = House::new();
    let requests = [
        ("start", json!({"run_id": "läuft", "goal": "g", "inputs": {"a": [1, 2.5]}, "metadata": {"m": null}})),
        before("läuft", "s1", 1),
        (
            "before",
            json!({"run_id": "läuft", "step_index": 2, "tool_name": "t", "tool_input": null, "preconditions": [{"kind": "always"}]}),
        ),
        after("läuft", "s1"),
        ("after", json!({"run_id": "läuft", "step_index": 2, "status": "failed", "error": "no", "artifact_refs": ["x", {"y": 1}]})),
        ("before", json!({"run_id": "läuft", "step_index": 3, "tool_name": "big", "tool_input": "x".repeat(100_000)})),
        ("after", json!({"run_id": "läuft", "step_index": 3, "status": "partial", "output": "y".repeat(1_000_000)})),
        end("läuft"),
    ];
    let mut first = Vec::new();
    for (route, body) in &requests {
        first.push(house.send(route, body.clone()).await.unwrap());
    }
    let recorded = house.get("läuft");
    let house = house.reopened();
    for ((route, body), first) in requests.iter().zip(&first) {
        assert_eq!(&house.send(route, body.clone()).await.unwrap(), first, "{route}");
    }
    assert_eq!(house.get("läuft"), recorded);
    assert_eq!(recorded.steps.len(), 3);
    let commits: std::collections::BTreeSet<_> = first.iter().map(|answer| answer["commit_id"].as_str().unwrap()).collect();
    assert_eq!(commits.len(), requests.len(), "each write has a commit of its own");
}

#[tokio::test]
async fn a_receipt_says_whether_it_is_a_repeat() {
    let House { runs, space, .. } = &House::new();
    let sent = RunStart::parse(&start("r").1).unwrap();
    let first = runs.start(space, sent.clone()).await.unwrap();
    let again = runs.start(space, RunStart { actor: Some("somebody else".to_owned()), ..sent }).await.unwrap();
    assert_eq!((first.receipt.repeated, again.receipt.repeated), (false, true));
    assert_eq!((first.receipt.commit, first.receipt.node), (again.receipt.commit, again.receipt.node));
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict_that_shows_both_and_changes_nothing() {
    let house = House::new();
    let (start, before, after, end) = (start("r"), before("r", "s", 1), after("r", "s"), end("r"));
    house.send_all(&[start.clone(), before.clone(), after.clone(), end.clone()]).await;
    let recorded = house.get("r");
    for ((route, body), change, field) in [
        (&start, json!({"goal": "another"}), "goal"),
        (&start, json!({"inputs": {}}), "inputs"),
        (&start, json!({"metadata": {"a": 1}}), "metadata"),
        (&start, json!({"context_snapshot_ref": "x"}), "context_snapshot_ref"),
        (&start, json!({"context_snapshot_hash": "0".repeat(64)}), "context_snapshot_hash"),
        (&before, json!({"step_index": 2}), "step_index"),
        (&before, json!({"tool_name": "write"}), "tool_name"),
        (&before, json!({"tool_input": {"path": "b"}}), "tool_input"),
        (&before, json!({"tool_input": null}), "tool_input"),
        (&before, json!({"safety_level": "auto_ok"}), "safety_level"),
        (&before, json!({"preconditions": [{}]}), "preconditions"),
        (&before, json!({"retry_policy": {}}), "retry_policy"),
        (&before, json!({"decision_id": "d"}), "decision_id"),
        (&before, json!({"expected_output_signature": 1}), "expected_output_signature"),
        (&before, json!({"metadata": {}}), "metadata"),
        (&after, json!({"status": "failed"}), "status"),
        (&after, json!({"output": {"ok": false}}), "output"),
        (&after, json!({"output": null}), "output"),
        (&after, json!({"output_signature": []}), "output_signature"),
        (&after, json!({"postconditions": [{}]}), "postconditions"),
        (&after, json!({"artifact_refs": ["a"]}), "artifact_refs"),
        (&after, json!({"repair_applied": true}), "repair_applied"),
        (&after, json!({"repair_note": "n"}), "repair_note"),
        (&after, json!({"error": {"code": 1}}), "error"),
        (&after, json!({"metadata": {}}), "metadata"),
        (&end, json!({"status": "failed"}), "status"),
        (&end, json!({"summary": "not done"}), "summary"),
        (&end, json!({"success_criteria": {}}), "success_criteria"),
        (&end, json!({"metrics": {"steps": 1}}), "metrics"),
        (&end, json!({"metadata": {}}), "metadata"),
        (&end, json!({"output": 1}), "output"),
    ] {
        let e = house.send(route, with(body, change.clone())).await.unwrap_err();
        assert_eq!(e.code, Code::IdConflict, "{route} {change}: {e}");
        assert!(e.message.ends_with(&format!("it differs in {field}")), "{e}");
        let details = e.details.unwrap();
        let shown = |side: &str| details[side].get(field).cloned().unwrap_or_default();
        assert_eq!(shown("sent"), change[field], "{route}");
        assert_ne!(shown("stored"), shown("sent"), "{route}");
    }
    assert_eq!(house.get("r"), recorded);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "s", 1)]).await;
    let by_index = ("after", json!({"run_id": "r", "step_index": 2, "status": "success"}));
    for ((route, body), code, named) in [
        (before("q", "s", 1), Code::ReplayRunNotFound, "\"q\""),
        (after("q", "s"), Code::ReplayRunNotFound, "\"q\""),
        (end("q"), Code::ReplayRunNotFound, "\"q\""),
        (after("r", "t"), Code::ReplayStepNotFound, "step_id \"t\""),
        (by_index, Code::ReplayStepNotFound, "step_index 2"),
    ] {
        let e = house.send(route, body).await.unwrap_err();
        assert_eq!(e.code, code, "{route}");
        assert!(e.message.contains(named), "{e}");
    }
    assert_eq!(house.runs.get(&house.space, &RunId::parse("q").unwrap()).unwrap_err().code, Code::ReplayRunNotFound);
}

#[tokio::test]
async fn an_ended_run_takes_nothing_new_and_still_answers_repeats() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "s1", 1), after("r", "s1"), before("r", "s2", 2), end("r")]).await;
    let recorded = house.get("r");
    for (route, body) in [before("r", "s3", 3), after("r", "s2"), ("before", json!({"run_id": "r", "step_index": 1, "tool_name": "t"}))] {
        assert_eq!(house.send(route, body).await.unwrap_err().code, Code::RunEnded, "{route}");
    }
    house.send_all(&[start("r"), before("r", "s1", 1), after("r", "s1"), before("r", "s2", 2), end("r")]).await;
    assert_eq!(house.get("r"), recorded);
    assert_eq!(recorded.steps[1].after, None, "a step may stay pending");
}

#[tokio::test]
async fn a_result_by_index_goes_to_the_step_that_was_recorded_last_under_it() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "s1a", 1), before("r", "s1b", 1), before("r", "s2", 2)]).await;
    for (step_index, step_id) in [(1, "s1b"), (2, "s2")] {
        let answer = house.send("after", json!({"run_id": "r", "step_index": step_index, "status": "skipped"})).await.unwrap();
        assert_eq!(answer["step_id"], step_id);
    }
    let pending: Vec<bool> = house.get("r").steps.iter().map(|step| step.after.is_none()).collect();
    assert_eq!(pending, [true, false, false]);
}

#[tokio::test]
async fn steps_stand_by_index_and_then_by_arrival() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "z", 2), before("r", "y", 1), before("r", "x", 2), before("r", "a", 1)]).await;
    let order: Vec<_> = house.get("r").steps.iter().map(|step| (step.step_id.to_string(), step.step_index, step.ordinal)).collect();
    assert_eq!(order, [("y".to_owned(), 1, 1), ("a".to_owned(), 1, 3), ("z".to_owned(), 2, 0), ("x".to_owned(), 2, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_step_of_64_at_once_is_lost_and_each_has_its_own_place() {
    let house = House::new();
    house.send_all(&[start("r")]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64 {
        let (runs, space) = (house.runs.clone(), house.space.clone());
        tasks.spawn(async move {
            let step = json!({"run_id": "r", "step_id": format!("s{n}"), "step_index": 1 + n % 5, "tool_name": "t", "tool_input": n});
            send(&runs, &space, "before", &step).await?;
            send(&runs, &space, "after", &after("r", &format!("s{n}")).1).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let run = house.get("r");
    let mut ordinals: Vec<u32> = run.steps.iter().map(|step| step.ordinal).collect();
    ordinals.sort_unstable();
    assert_eq!(ordinals, (0..64).collect::<Vec<_>>());
    assert!(run.steps.iter().all(|step| step.after.is_some()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_end_among_many_steps_cuts_them_into_those_that_are_there_and_those_that_were_refused() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "open", 1)]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let (runs, space) = (house.runs.clone(), house.space.clone());
        tasks.spawn(async move {
            let (route, body) = match n {
                16 => end("r"),
                20 => after("r", "open"),
                _ => before("r", &format!("s{n}"), 1),
            };
            let result = send(&runs, &space, route, &body).await;
            (route, n, result)
        });
    }
    let mut accepted = vec!["open".to_owned()];
    let mut answered = false;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            ("before", n, Ok(_)) => accepted.push(format!("s{n}")),
            ("after", _, result) => answered = result.is_ok(),
            ("end", _, result) => assert!(result.is_ok()),
            (_, _, Err(e)) => assert_eq!(e.code, Code::RunEnded),
            (route, _, Ok(_)) => panic!("{route}"),
        }
    }
    let run = house.get("r");
    let mut there: Vec<String> = run.steps.iter().map(|step| step.step_id.to_string()).collect();
    there.sort();
    accepted.sort();
    assert_eq!(there, accepted);
    assert_eq!(run.steps.iter().filter(|step| step.after.is_some()).count(), usize::from(answered));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_starts_of_one_run_one_content_wins_and_the_other_is_a_conflict() {
    let house = House::new();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (runs, space) = (house.runs.clone(), house.space.clone());
        tasks.spawn(async move { (n % 2, send(&runs, &space, "start", &json!({"run_id": "r", "goal": format!("goal {}", n % 2)})).await) });
    }
    let mut outcomes = [Vec::new(), Vec::new()];
    while let Some(done) = tasks.join_next().await {
        let (goal, result) = done.unwrap();
        outcomes[goal].push(result.map(|answer| answer["commit_id"].clone()).map_err(|e| e.code));
    }
    let won = usize::from(house.get("r").goal == "goal 1");
    let first = outcomes[won][0].clone().unwrap();
    assert_eq!(outcomes[won], vec![Ok(first); 8], "one write, and the others are its repeats");
    assert_eq!(outcomes[1 - won], vec![Err(Code::IdConflict); 8]);
}

/// What becomes of a batch that was made before somebody else's request was accepted.
#[tokio::test]
async fn a_batch_that_was_made_before_another_request_came_through_is_not_written() {
    let requests = || [before("r", "s2", 1), after("r", "s1"), end("r")];
    for (made_route, made) in requests() {
        for (other_route, other) in requests() {
            let house = House::new();
            house.send_all(&[start("r"), before("r", "s1", 1)]).await;
            let House { runs, space, .. } = &house;
            let batch = match made_route {
                "before" => batch_of(runs.look_before(space, &StepId::parse("s2").unwrap(), &StepBefore::parse(&made).unwrap(), false)),
                "after" => batch_of(runs.look_after(space, &StepAfter::parse(&made).unwrap(), false)),
                _ => batch_of(runs.look_end(space, &RunEnd::parse(&made).unwrap(), false)),
            };
            house.send_all(&[(other_route, other)]).await;
            let first = house.get("r");
            let written = house.runs.store.commit(batch).await;
            assert!(matches!(written, Err(CommitError::Guard)), "{made_route} after {other_route}: {written:?}");
            assert_eq!(house.get("r"), first);
        }
    }
    let house = House::new();
    let sent = RunStart::parse(&start("r").1).unwrap();
    let batch = batch_of(house.runs.look_start(&house.space, &RunId::parse("r").unwrap(), &sent, false));
    house.send_all(&[start("r")]).await;
    assert!(matches!(house.runs.store.commit(batch).await, Err(CommitError::Guard)));
}

fn batch_of<T>(looked: Result<Next<T>>) -> Batch {
    match looked.unwrap() {
        Next::Write(batch, _) => batch,
        Next::Answer(_) | Next::SetAside(_) => panic!("it is new and small"),
    }
}

#[tokio::test]
async fn null_is_absent_in_a_request_that_nobody_parsed_too() {
    let House { runs, space, .. } = &House::new();
    runs.start(space, RunStart::parse(&start("r").1).unwrap()).await.unwrap();
    let plain = RunEnd::parse(&json!({"run_id": "r", "status": "success"})).unwrap();
    let null = Some(crate::json::Json::from(&Value::Null));
    let first = runs.end(space, RunEnd { output: null.clone(), metrics: null, ..plain.clone() }).await.unwrap();
    assert_eq!(runs.get(space, &first.run_id).unwrap().end.unwrap().as_end(&first.run_id), plain);
    assert!(runs.end(space, plain).await.unwrap().receipt.repeated);
}

#[tokio::test]
async fn rows_that_contradict_each_other_are_corrupt_and_no_answer_is_made_of_them() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "s", 1), start("q"), before("q", "s", 1), after("q", "s")]).await;
    let (run_id, of_q) = (RunId::parse("r").unwrap(), RunId::parse("q").unwrap());
    let space = house.space.clone();
    let mut batch = Batch::new();
    batch.delete(&RunKey { space: space.clone(), run_id: run_id.clone() });
    batch.delete(&StepKey { space, run_id: of_q.clone(), step_id: StepId::parse("s").unwrap() });
    house.runs.store.commit(batch).await.unwrap();
    for (run_id, message) in
        [(run_id, "run \"r\" has a head but no start"), (of_q, "run \"q\" has a result for step \"s\", which it does not have")]
    {
        let e = house.runs.get(&house.space, &run_id).unwrap_err();
        assert_eq!((e.code, e.message.as_str()), (Code::DataCorrupt, message));
    }
}

#[tokio::test]
async fn large_values_come_back_whole_and_a_refused_request_leaves_no_blob() {
    let house = House::new();
    let big = |c: &str| c.repeat(limits::JSON_BYTES_MAX - 2);
    let step = |run_id: &str, c: &str| {
        let (input, expected) = (big(c), big("e"));
        (
            "before",
            json!({"run_id": run_id, "step_id": "s", "step_index": 1, "tool_name": "t", "tool_input": input, "expected_output_signature": expected}),
        )
    };
    house.send_all(&[("start", json!({"run_id": "r", "goal": "g", "inputs": {"k": "i".repeat(1_000_000)}}))]).await;
    house.send_all(&[step("r", "a")]).await;
    let result = json!({"run_id": "r", "step_id": "s", "status": "success", "output": big("o"), "output_signature": big("p")});
    house.send_all(&[("after", result), ("end", json!({"run_id": "r", "status": "success", "output": big("q")}))]).await;
    let stored = house.blobs();
    assert_eq!(stored, 6);

    for ((route, body), code) in [(step("q", "x"), Code::ReplayRunNotFound), (step("r", "y"), Code::IdConflict)] {
        assert_eq!(house.send(route, body).await.unwrap_err().code, code);
    }
    let late = json!({"run_id": "r", "step_id": "late", "step_index": 2, "tool_name": "t", "tool_input": big("z")});
    assert_eq!(house.send("before", late).await.unwrap_err().code, Code::RunEnded);
    assert_eq!(house.blobs(), stored);

    let run = house.get("r");
    let after = run.steps[0].after.as_ref().unwrap();
    let values = [&run.steps[0].tool_input, after.output.as_ref().unwrap(), after.output_signature.as_ref().unwrap()];
    for (value, c) in values.into_iter().zip(["a", "o", "p"]) {
        assert_eq!(value.value(), json!(big(c)));
    }
}

#[tokio::test]
async fn many_small_fields_that_make_a_large_row_come_back() {
    let house = House::new();
    let conditions: Vec<Value> = (0..200).map(|n| json!({"kind": "file_exists", "path": "p".repeat(250), "n": n})).collect();
    let body = with(&before("r", "s", 1).1, json!({"preconditions": conditions}));
    house.send_all(&[start("r"), ("before", body.clone()), ("before", body)]).await;
    let stored: Vec<Value> = house.get("r").steps[0].preconditions.iter().map(crate::json::Json::value).collect();
    assert_eq!(stored, conditions);
}

#[tokio::test]
async fn a_run_takes_as_many_steps_as_the_limit_says_and_then_says_so() {
    let house = House::new();
    let mut file = String::from("{\"run\": {\"run_id\": \"r\", \"goal\": \"g\"}}\n");
    for n in 0..limits::RUN_STEPS_MAX {
        file += &format!("{{\"tool\": \"t\", \"input\": {n}, \"step_id\": \"s{n}\"}}\n");
    }
    house.runs.import(&house.space, Recording::read(file.as_bytes()).unwrap()).await.unwrap();
    let e = house.send(before("r", "more", 1).0, before("r", "more", 1).1).await.unwrap_err();
    assert_eq!(e.code, Code::TooLarge);
    assert!(e.message.contains("2000"), "{e}");
    assert_eq!(house.get("r").steps.len(), limits::RUN_STEPS_MAX);
}

#[tokio::test]
async fn a_run_counts_what_it_was_sent_with_once_however_it_came() {
    let house = House::new();
    let big = "x".repeat(100_000);
    let requests = [
        ("start", json!({"run_id": "r", "goal": "goal", "inputs": {"a": 1}, "metadata": {"m": null}})),
        ("before", json!({"run_id": "r", "step_id": "s", "step_index": 1, "tool_name": "t", "tool_input": big, "metadata": {}})),
        ("after", json!({"run_id": "r", "step_id": "s", "status": "success", "output": [1, 2], "repair_note": "note", "error": "no"})),
        end("r"),
    ];
    let mut counted = Vec::new();
    for (route, body) in requests.iter().chain(&requests) {
        house.send(route, body.clone()).await.unwrap();
        counted.push(house.bytes("r"));
    }
    let start = 4 + 7 + 10;
    let (before, after) = (start + 100_002 + 2, start + 100_002 + 2 + 5 + 4 + 4);
    assert_eq!(counted, [start, before, after, after, after, after, after, after]);

    let elsewhere = House::new();
    elsewhere.runs.import(&elsewhere.space, Recording::from(&house.get("r"))).await.unwrap();
    assert_eq!(elsewhere.bytes("r"), after);
}

#[tokio::test]
async fn a_full_run_takes_no_more_bytes_and_still_repeats_and_ends() {
    let house = House::new();
    house.send_all(&[start("r"), before("r", "s", 1), before("r", "t", 2), after("r", "t")]).await;
    let run_id = RunId::parse("r").unwrap();
    // As if it had been sent with that much: reaching it would take minutes.
    let head = house.runs.head(&house.space, &run_id).unwrap().unwrap();
    let mut batch = Batch::new();
    let full = saved::Head { bytes: limits::RUN_BYTES_MAX - 11, ..head.row.clone() };
    house.runs.put_head(&mut batch, &house.space, &run_id, Some(&head), &full);
    house.runs.store.commit(batch).await.unwrap();

    let recorded = house.get("r");
    let file =
        "{\"run\": {\"run_id\": \"r\", \"goal\": \"fix the build\"}}\n{\"tool\": \"t\", \"step_id\": \"f\", \"input\": \"0123456789\"}\n";
    let large = with(&before("r", "u", 3).1, json!({"tool_input": "x".repeat(100_000)}));
    for refused in [
        house.send("before", with(&before("r", "u", 3).1, json!({"tool_input": "0123456789"}))).await.map(drop),
        house.send("before", large).await.map(drop),
        house.send("after", with(&after("r", "s").1, json!({"output": "0123456789"}))).await.map(drop),
        house.runs.import(&house.space, Recording::read(file.as_bytes()).unwrap()).await.map(drop),
    ] {
        let e = refused.unwrap_err();
        assert_eq!(e.code, Code::TooLarge, "{e}");
        assert!(e.message.contains(&format!("at most {}", limits::RUN_BYTES_MAX)), "{e}");
    }
    assert_eq!((house.get("r"), house.blobs()), (recorded, 0));
    house.send_all(&[before("r", "s", 1), after("r", "t"), after("r", "s"), end("r")]).await;
    assert_eq!(house.bytes("r"), limits::RUN_BYTES_MAX);
}

#[tokio::test]
async fn spaces_know_nothing_of_each_other() {
    let mut house = House::new();
    house.send_all(&[start("r"), before("r", "s", 1)]).await;
    for (tenant, scope) in [(Some("other"), None), (None, Some("other")), (Some("default"), Some("default/default"))] {
        house.space = Space::parse(tenant, scope).unwrap();
        assert_eq!(house.send("after", after("r", "s").1).await.unwrap_err().code, Code::ReplayRunNotFound);
        assert_eq!(house.runs.list(&house.space, None, 10).unwrap(), []);
        house.send_all(&[("start", json!({"run_id": "r", "goal": "quite another"}))]).await;
    }
    house.space = Space::default_space();
    assert_eq!(house.get("r").goal, "fix the build");
}

#[tokio::test]
async fn a_list_of_runs_goes_on_after_the_last_one_seen() {
    let house = House::new();
    house.send_all(&[start("a"), start("b"), before("b", "s", 1), start("c"), end("c"), start("d")]).await;
    let mut pages = Vec::new();
    let mut last = None;
    loop {
        let page = house.runs.list(&house.space, last.as_ref(), 3).unwrap();
        let Some(run) = page.last() else { break };
        last = Some(run.run_id.clone());
        pages.push(page.iter().map(|run| (run.run_id.to_string(), run.status, run.steps, run.ended_at_ms.is_some())).collect::<Vec<_>>());
    }
    let run = |id: &str, status: Option<RunStatus>, steps| (id.to_owned(), status, steps, status.is_some());
    assert_eq!(pages, [vec![run("a", None, 0), run("b", None, 1), run("c", Some(RunStatus::Success), 0)], vec![run("d", None, 0)]]);
}
