//! Whatever a tool answers passes here before anyone sees it: a guest, a journal, a person.
//!
//! It takes out the secrets that there were when the call began, one of which it may have sent, and those that there are now.
//! The rule that must stay true: there is no other way from a tool to whoever called it.

use std::sync::Arc;

use crate::contract::{Confirmation, ErrorKind, Outcome, Reconciliation, ToolError, ToolId};
use crate::secrets::{Known, Scrubber, Secrets};
use crate::{blocking, limits};

pub(super) async fn outcome(id: &ToolId, outcome: Outcome, before: Arc<Known>, secrets: &Secrets) -> Outcome {
    let bytes = match &outcome {
        Ok(output) => output.as_str().len(),
        Err(error) => error.detail.as_ref().map_or(0, |detail| detail.as_str().len()),
    };
    let output = clean(outcome, bytes, Scrubber::outcome, before, secrets).await?;
    // A placeholder may be longer than what it stands for.
    let bytes = output.as_str().len();
    if bytes > limits::JSON_BYTES_MAX {
        let text = format!(
            "the output of {id} would have {bytes} bytes once its secrets are taken out; one JSON value has at most {}",
            limits::JSON_BYTES_MAX
        );
        return Err(ToolError::new(ErrorKind::Failed, text));
    }
    Ok(output)
}

pub(super) async fn reconciliation(reconciliation: Reconciliation, before: Arc<Known>, secrets: &Secrets) -> Reconciliation {
    let bytes = match &reconciliation {
        Reconciliation::Happened(output) => output.as_str().len(),
        Reconciliation::DidNotHappen | Reconciliation::Unknown(_) => 0,
    };
    clean(reconciliation, bytes, Scrubber::reconciliation, before, secrets).await
}

pub(super) async fn confirmation(confirmation: Confirmation, before: Arc<Known>, secrets: &Secrets) -> Confirmation {
    clean(confirmation, 0, Scrubber::confirmation, before, secrets).await
}

/// What a tool printed, of which the rest may have been cut off.
pub(super) async fn log(log: String, before: Arc<Known>, secrets: &Secrets) -> String {
    let bytes = log.len();
    let without = |scrubber: &Scrubber, log: String| String::from_utf8_lossy(&scrubber.beginning(log.as_bytes())).into_owned();
    clean(log, bytes, without, before, secrets).await
}

async fn clean<T: Send + 'static>(came: T, bytes: usize, without: fn(&Scrubber, T) -> T, before: Arc<Known>, secrets: &Secrets) -> T {
    let now = secrets.known();
    if before.scrubber().is_empty() && now.scrubber().is_empty() {
        return came;
    }
    let work = move || {
        let came = without(before.scrubber(), came);
        if Arc::ptr_eq(&before, &now) { came } else { without(now.scrubber(), came) }
    };
    if bytes > limits::SCRUB_HERE_BYTES_MAX { blocking::run(work).await } else { work() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fs::world::World;
    use super::super::{Grants, Info, Registry, Surroundings, Times, Tool};
    use super::*;
    use crate::contract::Effect;
    use crate::json::Json;

    const SECRETS: [(&str, &str); 1] = [("token", "canary-4711")];

    /// A registry of one tool, which does as `outcome` says while it may change the secrets.
    fn registry(secrets: &Secrets, outcome: impl Fn(&Secrets) -> Result<serde_json::Value, ToolError> + Send + Sync + 'static) -> Registry {
        let (info, own, outcome) = (Info { effect: Effect::Once, ..super::super::tests::odd_info() }, secrets.clone(), Arc::new(outcome));
        let tool = Tool::waiting(info, move |_, _| {
            let (own, outcome) = (own.clone(), Arc::clone(&outcome));
            async move { outcome(&own) }
        })
        .reconciled_waiting(|_, input| async move {
            match input["happened"].as_str() {
                Some(what) => Reconciliation::Happened(Json::from(&json!({ "what": what }))),
                None => Reconciliation::Unknown(format!("no idea, {}", input["why"])),
            }
        })
        .confirmed_waiting(|_, recorded| async move { Confirmation::Changed(format!("{} by now", recorded.output)) });
        let times = Times { begin: limits::TOOL_BEGIN_TIME_MAX, answer: limits::TOOL_CALL_TIME_MAX };
        let surroundings = Surroundings { secrets: secrets.clone(), ..Surroundings::default() };
        Registry::made(vec![tool], times, &surroundings, super::super::Ways::of(&surroundings))
    }

    async fn called(registry: &Registry, input: &serde_json::Value) -> Outcome {
        registry.call(&ToolId::parse("test/odd").unwrap(), "k", &Json::from(input), &Grants::none()).await
    }

    #[tokio::test]
    async fn whatever_a_tool_says_is_said_without_secrets() {
        let secrets = Secrets::for_test(&SECRETS);
        let says = registry(&secrets, |_| Ok(json!({ "canary-4711": ["a canary-4711 b"] })));
        assert_eq!(called(&says, &json!({})).await.unwrap().as_str(), r#"{"{{secret:token}}":["a {{secret:token}} b"]}"#);
        let fails = registry(&secrets, |_| {
            let detail = Some(Json::from(&json!({ "body": "canary-4711" })));
            Err(ToolError { detail, ..ToolError::new(ErrorKind::Failed, "no canary-4711 here") })
        });
        let error = called(&fails, &json!({})).await.unwrap_err();
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"kind":"failed","message":"no {{secret:token}} here","detail":{"body":"{{secret:token}}"}}"#
        );

        let (id, grants) = (ToolId::parse("test/odd").unwrap(), Grants::none());
        let happened = fails.reconcile(&id, "k", &Json::from(&json!({ "happened": "canary-4711" })), &grants).await;
        assert_eq!(happened, Reconciliation::Happened(Json::from(&json!({ "what": "{{secret:token}}" }))));
        let unknown = fails.reconcile(&id, "k", &Json::from(&json!({ "why": "canary-4711" })), &grants).await;
        assert_eq!(unknown, Reconciliation::Unknown("no idea, \"{{secret:token}}\"".to_owned()));
        let changed = fails.confirm(&id, &Json::from(&json!({})), &Json::from(&json!("canary-4711")), &grants).await;
        assert_eq!(changed, Confirmation::Changed("\"{{secret:token}}\" by now".to_owned()));
    }

    #[tokio::test]
    async fn a_secret_that_is_replaced_during_a_call_is_found_in_its_answer_as_before_and_as_after() {
        let secrets = Secrets::for_test(&SECRETS);
        let rotates = registry(&secrets, |secrets| {
            secrets.exchange(&[("token", "another-42")]);
            Ok(json!("was canary-4711, is another-42"))
        });
        assert_eq!(called(&rotates, &json!({})).await.unwrap().as_str(), "\"was {{secret:token}}, is {{secret:token}}\"");
    }

    #[tokio::test]
    async fn of_a_log_that_was_cut_off_no_half_secret_is_left() {
        let secrets = Secrets::for_test(&SECRETS);
        let clean = log("was canary-4711\nand canary-47".to_owned(), secrets.known(), &secrets).await;
        assert_eq!(clean, "was {{secret:token}}\nand {{secret:token}}");
    }

    #[tokio::test]
    async fn an_output_that_grows_beyond_its_limit_by_its_placeholders_is_refused() {
        let secrets = Secrets::for_test(&[("a-long-name-for-a-short-secret", "12345678")]);
        let many = registry(&secrets, |_| Ok(json!("12345678 ".repeat(100_000))));
        let error = called(&many, &json!({})).await.unwrap_err();
        assert!(error.kind == ErrorKind::Failed && error.message.contains("once its secrets are taken out"), "{error}");
    }

    #[test]
    fn a_file_that_holds_a_secret_is_read_without_it_and_still_holds_what_was_read() {
        let world = World::with(Registry::within(&Surroundings { secrets: Secrets::for_test(&SECRETS), ..Surroundings::default() }));
        world.file("sub/.env", "TOKEN=canary-4711\n");
        let input = r#"{"path":"project/sub/.env"}"#;
        let output = world.call("fs/read", input).unwrap();
        assert_eq!(output.value()["text"], "TOKEN={{secret:token}}\n");
        assert_eq!(world.confirm("fs/read", input, &output), Confirmation::Holds);
    }
}
