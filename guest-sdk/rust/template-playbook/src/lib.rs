//! The playbook `{{name}}`: has a person sign a document, and writes down that they did.

// A playbook reaches the world through its tools alone; the standard library would ask for more.
#![no_std]

use reprise_guest::prelude::*;

/// What a job of it is started with.
#[derive(Deserialize)]
struct Input {
    /// The document, such as `project/plan.md`.
    document: String,
}

/// What a job of it gives back.
#[derive(Serialize)]
struct Output {
    /// Where the signature is.
    signature: String,
}

/// As much of the answer of `fs/read` as matters here.
#[derive(Deserialize)]
struct File {
    text: String,
}

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

// The tools are all that it can call; they become the imports of the component. After a crash the function begins anew, and is
// given the same answers up to where it was, so it must ask the same again: time and randomness come from `now` and `random_u64`.
#[playbook(tools = ["fs/read", "fs/write"])]
fn sign(input: Input) -> Result<Output, Failure> {
    step("read");
    let file: File = call("fs/read", &json!({"path": input.document}))?;
    let title = file.text.lines().next().unwrap_or_default();

    step("ask");
    let answer = approve(&format!("Sign {}?", input.document), &json!({"document": input.document, "title": title}), Some(PATIENCE))?;

    step("write");
    let signature = format!("{}.signed", input.document);
    let text = format!("{}\nsigned at {} ms: {answer}\n", title, now());
    let _: Value = call("fs/write", &json!({"path": signature, "text": text}))?;
    Ok(Output { signature })
}

#[cfg(test)]
mod tests {
    use reprise_guest::testing::Script;

    use super::*;

    /// What the playbook is expected to ask for up to the question, and what it is answered.
    fn asked(answer: Result<Value, Interruption>) -> Script {
        Script::new()
            .now(1_000)
            .call("fs/read", json!({"path": "project/plan.md"}), Ok(json!({"text": "# The plan\nSleep.\n"})))
            .approve("Sign project/plan.md?", json!({"document": "project/plan.md", "title": "# The plan"}), answer)
    }

    #[test]
    fn what_is_approved_is_signed() {
        let text = "# The plan\nsigned at 1000 ms: \"gladly\"\n";
        let played = asked(Ok(json!("gladly")))
            .call("fs/write", json!({"path": "project/plan.md.signed", "text": text}), Ok(json!({"bytes": 30})))
            .play::<sign>(json!({"document": "project/plan.md"}));
        assert_eq!(played.result, Ok(json!({"signature": "project/plan.md.signed"})));
    }

    #[test]
    fn what_is_rejected_is_not() {
        let played = asked(Err(Interruption::Rejected(json!("too short")))).play::<sign>(json!({"document": "project/plan.md"}));
        let failure = played.result.unwrap_err();
        assert_eq!((failure.step.as_deref(), failure.detail), (Some("ask"), Some(json!("too short"))));
    }
}
