//! Web servers: the methods that were used, below the longest path that all requests have in common, in whole segments.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{GrantProposal, Known, Reached, Text, common, proposal, texts};
use crate::tools::grants::{Grant, HttpGrant, Method, base_url};

/// Requests to one origin, under what covers them now.
struct Requests {
    methods: BTreeSet<Method>,
    path: Vec<String>,
    steps: Vec<String>,
}

pub(super) fn propose(calls: &[Reached], known: &Known) -> Vec<GrantProposal> {
    let mut all: BTreeMap<(String, Option<String>), Requests> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.tool.namespace() == "http") {
        let Some((origin, path, method)) = request(call) else { continue };
        let granted = covering(known, &origin, method, &path).map(|grant| grant.name.to_string());
        match all.get_mut(&(origin.clone(), granted.clone())) {
            None => {
                let requests = Requests { methods: BTreeSet::from([method]), path, steps: vec![call.step.clone()] };
                all.insert((origin, granted), requests);
            }
            Some(requests) => {
                requests.methods.insert(method);
                requests.path = common(&requests.path, &path);
                requests.steps.push(call.step.clone());
            }
        }
    }
    all.into_iter().filter_map(|((origin, granted), requests)| of_requests(&origin, granted.as_deref(), requests, known)).collect()
}

/// Where a call goes: origin, the path's segments as far as they are the same in every job, and the method.
pub(super) fn request(call: &Reached) -> Option<(String, Vec<String>, Method)> {
    let method = Method::parse(&call.tool.name().to_ascii_uppercase()).ok()?;
    let (origin, path) = texts(call, "url").iter().find_map(target)?;
    Some((origin, path, method))
}

/// None where the host depends on the job, or it is no URL.
fn target(url: &Text) -> Option<(String, Vec<String>)> {
    let (scheme, rest) = url.text.split_once("://")?;
    let end = rest.find(['/', '?', '#']);
    if end.is_none() && !url.whole {
        return None;
    }
    let (authority, place) = rest.split_at(end.unwrap_or(rest.len()));
    let origin = base_url(&format!("{scheme}://{authority}")).ok()?;
    let path = place.split(['?', '#']).next().unwrap_or_default();
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let path_is_whole = url.whole || path.len() < place.len() || path.ends_with('/');
    if !path_is_whole {
        segments.pop();
    }
    // A grant names what means the same to every server, and so covers what lies above anything else.
    let plain = |segment: &&str| {
        !matches!(*segment, "." | "..") && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,:@".contains(c))
    };
    Some((origin, segments.into_iter().take_while(plain).map(str::to_owned).collect()))
}

/// What is granted of this now; where several are, the one with the longest path, as with a call.
fn covering<'k>(known: &'k Known, origin: &str, method: Method, path: &[String]) -> Option<&'k HttpGrant> {
    let path = format!("/{}", path.join("/"));
    let grants = known.granted.iter().filter_map(|grant| match grant {
        Grant::Http(http) if http.covers(origin, method, &path) => Some(http),
        _ => None,
    });
    grants.max_by_key(|grant| grant.path.as_ref().map_or(0, String::len))
}

fn of_requests(origin: &str, granted: Option<&str>, requests: Requests, known: &Known) -> Option<GrantProposal> {
    let Requests { methods, path, steps } = requests;
    let mut parts = json!({"kind": "http", "origin": origin, "methods": methods});
    if !path.is_empty() {
        parts["path"] = format!("/{}", path.join("/")).into();
    }
    // What an operator promised of the server goes on holding.
    if let Some(Grant::Http(http)) = granted.and_then(|name| known.named(name)) {
        parts["name"] = json!(http.name);
        parts["private"] = json!(http.private);
        for (part, value) in [("key_header", &http.key_header), ("reconcile", &http.reconcile)] {
            if let Some(value) = value {
                parts[part] = value.as_str().into();
            }
        }
    }
    let grant: Grant = serde_json::from_value(parts).ok()?;
    let standing = known.standing(&grant, |other| other.name().as_str() == granted.unwrap_or_default());
    Some(proposal(&grant, standing, steps))
}
