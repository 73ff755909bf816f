//! A worked playbook: an expense claim is read, large ones wait for a person, the claim is booked and the decision written down.
//!
//! The list in the attribute is all that it can do. It needs a grant `claims` on the directory of the claims, and the ledger of
//! `../tool`.

#![no_std]

use reprise_guest::prelude::*;

/// Up to here, in cents, nobody is asked.
const SMALL: u64 = 5_000;

/// How long a claim waits for a person.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[derive(Deserialize)]
struct Input {
    /// The claim is the file `claims/CLAIM.json`.
    claim: String,
}

/// The answer of `fs/read`, as far as it matters here.
#[derive(Deserialize)]
struct File {
    json: Claim,
}

#[derive(Deserialize, Serialize)]
struct Claim {
    employee: String,
    cents: u64,
    what: String,
}

/// The answer of `ledger/add`.
#[derive(Deserialize)]
struct Added {
    line: u64,
}

#[derive(Serialize)]
#[serde(tag = "decision", rename_all = "lowercase")]
enum Decision {
    Paid { line: u64 },
    Rejected { because: Value },
    Expired,
}

#[playbook(tools = ["fs/read", "fs/write", "ledger/add"])]
fn expenses(input: Input) -> Result<Decision, Failure> {
    step("read");
    let claim: Claim = call::<File>("fs/read", &json!({"path": format!("claims/{}.json", input.claim), "as": "json"}))?.json;

    step("decide");
    let decision = match decide(&claim) {
        Ok(()) => {
            step("book");
            let entry = json!({"account": claim.employee, "cents": claim.cents, "note": claim.what});
            let added: Added = call("ledger/add", &entry)?;
            Decision::Paid { line: added.line }
        }
        Err(Interruption::Rejected(because)) => Decision::Rejected { because },
        Err(Interruption::Expired) => Decision::Expired,
        Err(cancelled @ Interruption::Cancelled) => return Err(cancelled.into()),
    };

    step("note");
    let text = serde_json::to_string(&decision)? + "\n";
    let _: Value = call("fs/write", &json!({"path": format!("claims/{}.decision.json", input.claim), "text": text}))?;
    Ok(decision)
}

fn decide(claim: &Claim) -> Result<(), Interruption> {
    if claim.cents <= SMALL {
        return Ok(());
    }
    let answer = approve(&format!("Pay {} for {}?", claim.employee, claim.what), claim, Some(PATIENCE))?;
    log(Level::Info, format!("approved: {answer}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use reprise_guest::testing::Script;

    use super::*;

    fn claim(cents: u64) -> Value {
        json!({"employee": "ann", "cents": cents, "what": "a train ticket"})
    }

    /// What happens up to the decision.
    fn read(cents: u64) -> Script {
        Script::new().call("fs/read", json!({"path": "claims/7.json", "as": "json"}), Ok(json!({"bytes": 60, "json": claim(cents)})))
    }

    fn booked(script: Script, cents: u64) -> Script {
        script.call("ledger/add", json!({"account": "ann", "cents": cents, "note": "a train ticket"}), Ok(json!({"line": 3})))
    }

    fn noted(script: Script, text: &str) -> Script {
        script.call("fs/write", json!({"path": "claims/7.decision.json", "text": text}), Ok(json!({"bytes": 1})))
    }

    const PAID: &str = "{\"decision\":\"paid\",\"line\":3}\n";

    #[test]
    fn a_small_claim_is_paid_without_asking() {
        let played = noted(booked(read(5_000), 5_000), PAID).play::<expenses>(json!({"claim": "7"}));
        assert_eq!(played.result, Ok(json!({"decision": "paid", "line": 3})));
        assert_eq!(played.steps, ["read", "decide", "book", "note"]);
    }

    #[test]
    fn a_large_claim_waits_for_a_person() {
        let script = read(5_001).approve("Pay ann for a train ticket?", claim(5_001), Ok(json!({"by": "bo"})));
        let played = noted(booked(script, 5_001), PAID).play::<expenses>(json!({"claim": "7"}));
        assert_eq!(played.result, Ok(json!({"decision": "paid", "line": 3})));
    }

    #[test]
    fn what_is_rejected_or_expired_is_not_booked() {
        for (answer, decision, text) in [
            (
                Interruption::Rejected(json!("no")),
                json!({"decision": "rejected", "because": "no"}),
                "{\"decision\":\"rejected\",\"because\":\"no\"}\n",
            ),
            (Interruption::Expired, json!({"decision": "expired"}), "{\"decision\":\"expired\"}\n"),
        ] {
            let script = read(9_000).approve("Pay ann for a train ticket?", claim(9_000), Err(answer));
            assert_eq!(noted(script, text).play::<expenses>(json!({"claim": "7"})).result, Ok(decision));
        }
    }

    #[test]
    fn a_claim_that_is_not_there_is_a_failure_at_its_step() {
        let error = ToolError::new(ErrorKind::NotFound, "there is no claims/7.json");
        let played = Script::new()
            .call("fs/read", json!({"path": "claims/7.json", "as": "json"}), Err(error))
            .play::<expenses>(json!({"claim": "7"}));
        let failure = played.result.unwrap_err();
        assert_eq!((failure.step.as_deref(), failure.message.as_str()), (Some("read"), "not-found: there is no claims/7.json"));
    }
}
