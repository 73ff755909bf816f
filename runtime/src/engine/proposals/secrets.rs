//! Secrets: each placeholder that stood in a request, in that place and toward that server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{GrantProposal, Known, Reached, free_name, proposal, web};
use crate::secrets::placeholders;
use crate::tools::grants::{Grant, GrantName, HttpGrant, Place, SecretGrant};

/// `others` are the proposals of web servers, among others.
pub(super) fn propose(calls: &[Reached], known: &Known, others: &[GrantProposal]) -> Vec<GrantProposal> {
    let mut places: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.tool.namespace() == "http") {
        // The grant that covers the call is proposed with the step.
        let http = others.iter().find(|other| other.kind == HttpGrant::KIND && other.steps.contains(&call.step));
        let Some((http, input)) = http.zip(input(call)).filter(|_| web::request(call).is_some()) else { continue };
        for (secret, place) in found(&input) {
            places.entry((secret, http.name.clone(), place.to_string())).or_default().push(call.step.clone());
        }
    }
    let mut taken: BTreeSet<String> = known.granted.iter().map(|g| g.name().to_string()).collect();
    taken.extend(others.iter().map(|other| other.name.clone()));
    let mut proposals = Vec::new();
    for ((secret, http, place), steps) in places {
        let of = |name: GrantName| {
            let (secret, http) = (GrantName::parse(&secret).ok()?, GrantName::parse(&http).ok()?);
            Some(SecretGrant { name, secret, http, place: Place::parse(&place).ok()? })
        };
        let same = known.granted.iter().find(|grant| matches!(grant, Grant::Secret(s) if of(s.name.clone()).as_ref() == Some(s)));
        let name = same.map(|grant| grant.name().clone()).or_else(|| free_name(&secret, &taken));
        let Some(grant) = name.and_then(of).map(Grant::Secret) else { continue };
        taken.insert(grant.name().to_string());
        let standing = known.standing(&grant, |_| false);
        proposals.push(proposal(&grant, standing, steps));
    }
    proposals
}

/// The whole input, where it is known.
fn input(call: &Reached) -> Option<Value> {
    let outputs = BTreeMap::new();
    let nothing = crate::compiler::template::Known::of(&Value::Null, &outputs);
    call.recorded.clone().or_else(|| call.input.evaluate(&nothing).ok())
}

/// Which secrets stand in which places of a request.
fn found(input: &Value) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    let mut look = |text: &str, place: &dyn Fn() -> Option<Place>| {
        for secret in placeholders(text.as_bytes()).filter_map(|placeholder| placeholder.name) {
            found.extend(place().map(|place| (secret.to_string(), place)));
        }
    };
    for (name, value) in input["headers"].as_object().into_iter().flatten() {
        look(value.as_str().unwrap_or_default(), &|| Place::parse(&format!("header:{name}")).ok());
    }
    let query = input["url"].as_str().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        look(value, &|| Place::parse(&format!("query:{name}")).ok());
    }
    look(&input["body"].to_string(), &|| Some(Place::Body));
    found
}
