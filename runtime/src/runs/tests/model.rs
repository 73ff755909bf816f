//! Any sequence of requests against a model of a few lines: the same are accepted, the same refused for the
//! same reason, and the same is there in the end.

use std::collections::BTreeMap;

use super::*;
use crate::error::Code;

#[derive(Debug, Clone)]
enum Request {
    Start { run: u8, goal: u8 },
    Before { run: u8, id: Option<u8>, index: u32, input: u8 },
    AfterId { run: u8, id: u8, output: u8 },
    AfterIndex { run: u8, index: u32, output: u8 },
    End { run: u8, summary: u8 },
    Reopen,
}

fn any_request() -> impl Strategy<Value = Request> {
    let (run, two) = (0..2_u8, 0..2_u8);
    let before = (run.clone(), prop::option::of(0..3_u8), 1..3_u32, two.clone());
    prop_oneof![
        2 => (run.clone(), two.clone()).prop_map(|(run, goal)| Request::Start { run, goal }),
        6 => before.prop_map(|(run, id, index, input)| Request::Before { run, id, index, input }),
        3 => (run.clone(), 0..3_u8, two.clone()).prop_map(|(run, id, output)| Request::AfterId { run, id, output }),
        3 => (run.clone(), 1..3_u32, two.clone()).prop_map(|(run, index, output)| Request::AfterIndex { run, index, output }),
        1 => (run, two).prop_map(|(run, summary)| Request::End { run, summary }),
        1 => Just(Request::Reopen),
    ]
}

/// What is known of a step that has no id of its own is all that makes it.
#[derive(Debug, Clone, PartialEq)]
struct ModelStep {
    id: Option<u8>,
    index: u32,
    input: u8,
    output: Option<u8>,
}

#[derive(Debug, Default)]
struct ModelRun {
    goal: u8,
    steps: Vec<ModelStep>,
    end: Option<u8>,
}

type Model = BTreeMap<u8, ModelRun>;

/// `Ok` where `stored` may be written or is what was sent.
fn write_once(stored: &mut Option<u8>, sent: u8, ended: bool) -> Result<(), Code> {
    match stored {
        Some(stored) if *stored == sent => Ok(()),
        Some(_) => Err(Code::IdConflict),
        None if ended => Err(Code::RunEnded),
        None => {
            *stored = Some(sent);
            Ok(())
        }
    }
}

fn apply(model: &mut Model, request: &Request) -> Result<(), Code> {
    if let Request::Start { run, goal } = request {
        let known = model.entry(*run).or_insert_with(|| ModelRun { goal: *goal, ..ModelRun::default() });
        return if known.goal == *goal { Ok(()) } else { Err(Code::IdConflict) };
    }
    let (Request::Before { run, .. } | Request::AfterId { run, .. } | Request::AfterIndex { run, .. } | Request::End { run, .. }) = request
    else {
        return Ok(());
    };
    let run = model.get_mut(run).ok_or(Code::ReplayRunNotFound)?;
    let ended = run.end.is_some();
    let find = |run: &mut ModelRun, of: &dyn Fn(&ModelStep) -> bool| run.steps.iter().rposition(of).ok_or(Code::ReplayStepNotFound);
    match *request {
        Request::Before { id, index, input, .. } => {
            let same_name = |step: &&ModelStep| step.id == id && (id.is_some() || (step.index, step.input) == (index, input));
            match run.steps.iter().find(same_name) {
                Some(step) if (step.index, step.input) == (index, input) => Ok(()),
                Some(_) => Err(Code::IdConflict),
                None if ended => Err(Code::RunEnded),
                None => {
                    run.steps.push(ModelStep { id, index, input, output: None });
                    Ok(())
                }
            }
        }
        Request::AfterId { id, output, .. } => {
            let at = find(run, &|step| step.id == Some(id))?;
            write_once(&mut run.steps[at].output, output, ended)
        }
        Request::AfterIndex { index, output, .. } => {
            let at = find(run, &|step| step.index == index)?;
            write_once(&mut run.steps[at].output, output, ended)
        }
        Request::End { summary, .. } => write_once(&mut run.end, summary, false),
        Request::Start { .. } | Request::Reopen => Ok(()),
    }
}

fn body(request: &Request) -> (&'static str, Value) {
    let run_id = |run: &u8| format!("run-{run}");
    match request {
        Request::Start { run, goal } => ("start", json!({"run_id": run_id(run), "goal": format!("goal {goal}")})),
        Request::Before { run, id, index, input } => {
            let step_id = id.map(|id| format!("step-{id}"));
            ("before", json!({"run_id": run_id(run), "step_id": step_id, "step_index": index, "tool_name": "t", "tool_input": input}))
        }
        Request::AfterId { run, id, output } => {
            ("after", json!({"run_id": run_id(run), "step_id": format!("step-{id}"), "status": "success", "output": output}))
        }
        Request::AfterIndex { run, index, output } => {
            ("after", json!({"run_id": run_id(run), "step_index": index, "status": "success", "output": output}))
        }
        Request::End { run, summary } => ("end", json!({"run_id": run_id(run), "status": "success", "summary": format!("{summary}")})),
        Request::Reopen => unreachable!("it is not sent"),
    }
}

/// The stored run in the model's terms.
fn seen(run: &Run) -> ModelRun {
    let last = |text: &str| text.chars().last().and_then(|c| c.to_digit(10)).and_then(|n| u8::try_from(n).ok());
    let number = |json: &crate::json::Json| last(json.as_str()).unwrap();
    let mut steps: Vec<&Step> = run.steps.iter().collect();
    steps.sort_by_key(|step| step.ordinal);
    let steps = steps.into_iter().map(|step| ModelStep {
        id: step.step_id.as_str().strip_prefix("step-").and_then(last),
        index: step.step_index,
        input: number(&step.tool_input),
        output: step.after.as_ref().and_then(|after| after.output.as_ref()).map(number),
    });
    let end = run.end.as_ref().and_then(|end| end.summary.as_deref()).and_then(last);
    ModelRun { goal: last(&run.goal).unwrap(), steps: steps.collect(), end }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_requests_in_any_order_come_to_what_the_model_says(requests in prop::collection::vec(any_request(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut house = House::new();
            let mut model = Model::new();
            for request in &requests {
                if matches!(request, Request::Reopen) {
                    house = house.reopened();
                    continue;
                }
                let (route, body) = body(request);
                let got = house.send(route, body).await.map(drop).map_err(|e| e.code);
                assert_eq!(got, apply(&mut model, request), "{request:?}");
            }
            for (run, model) in &model {
                let run = house.get(&format!("run-{run}"));
                let seen = seen(&run);
                assert_eq!((seen.goal, seen.steps, seen.end), (model.goal, model.steps.clone(), model.end));
                let summary = &house.runs.list(&house.space, None, 10).unwrap();
                let summary = summary.iter().find(|summary| summary.run_id == run.run_id).unwrap();
                assert_eq!((summary.steps as usize, summary.status.is_some()), (run.steps.len(), run.end.is_some()));
            }
        });
    }
}
