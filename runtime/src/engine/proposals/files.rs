//! Directories: the deepest that holds all that was touched under a grant's name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{GrantProposal, Known, ProposalStanding, Reached, Text, common, proposal, texts};
use crate::tools::grants::{Access, At, FsGrant, Grant, GrantName, To};

/// What was touched under one grant's name.
struct Area {
    /// Below the grant's name.
    directory: Vec<String>,
    access: Access,
    steps: Vec<String>,
}

pub(super) fn propose(calls: &[Reached], known: &Known) -> Vec<GrantProposal> {
    areas(calls).into_iter().filter_map(|(name, area)| of_area(GrantName::parse(&name).ok()?, area, known)).collect()
}

fn areas(calls: &[Reached]) -> BTreeMap<String, Area> {
    let mut areas: BTreeMap<String, Area> = BTreeMap::new();
    let mut found = Vec::new();
    for call in calls.iter().filter(|call| call.tool.namespace() == "fs") {
        let lists = call.tool.name() == "list";
        let access = if call.effect.touches_nothing() { Access::ReadOnly } else { Access::ReadWrite };
        let texts = texts(call, "path");
        let Some((name, directory)) = texts.iter().find_map(|path| directory(path, lists)) else {
            if texts.is_empty() {
                found.push((call, access));
            }
            continue;
        };
        match areas.get_mut(&name) {
            None => drop(areas.insert(name, Area { directory, access, steps: vec![call.step.clone()] })),
            Some(area) => {
                area.directory = common(&area.directory, &directory);
                area.access = area.access.max(access);
                area.steps.push(call.step.clone());
            }
        }
    }
    // What only the job finds, such as each file of a list, may lie in any of them.
    for (call, access) in found {
        for area in areas.values_mut() {
            area.access = area.access.max(access);
            area.steps.push(call.step.clone());
        }
    }
    areas
}

/// The grant's name and the directory below it that a call at `path` needs; none where no grant makes that path one that a job
/// can use, or its beginning depends on the job.
fn directory(path: &Text, lists: bool) -> Option<(String, Vec<String>)> {
    let mut names: Vec<String> = path.text.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).collect();
    if path.text.starts_with('/') || names.iter().any(|name| name == "..") {
        return None;
    }
    // `"project/rel" + input.x` may come to any name that begins so.
    if !path.whole && !path.text.ends_with('/') {
        names.pop();
    }
    if names.is_empty() {
        return None;
    }
    let name = names.remove(0);
    // What is listed is the directory itself, everything else lies in one.
    if path.whole && !lists {
        names.pop();
    }
    Some((name, names))
}

fn of_area(name: GrantName, area: Area, known: &Known) -> Option<GrantProposal> {
    let Area { directory, access, steps } = area;
    let granted = match known.named(name.as_str()) {
        Some(Grant::Fs(fs)) => Some(fs),
        _ => None,
    };
    let said = known.homes.get(name.as_str()).and_then(|home| home.canonicalize().ok());
    let home = said.clone().or_else(|| granted.and_then(home_of));
    let Some(home) = home else { return Some(without_home(&name, &directory, access, steps, known)) };
    let (path, at) = there(&home, directory);
    let at = if at.is_empty() { None } else { At::parse(&at.join("/")).ok() };
    let grant = Grant::Fs(FsGrant { name, path, at, access, to: To::BUILTIN });
    let standing = known.standing(&grant, |other| covers(other, &grant));
    Some(GrantProposal { of_the_host: said.is_none(), ..proposal(&grant, standing, steps) })
}

/// The directory that jobs see as the grant's name alone.
fn home_of(grant: &FsGrant) -> Option<PathBuf> {
    let Some(at) = &grant.at else { return Some(grant.path.clone()) };
    let below: PathBuf = at.names().iter().collect();
    let depth = below.components().count();
    grant.path.ends_with(&below).then(|| grant.path.ancestors().nth(depth).map(Path::to_owned))?
}

/// The deepest directory on the way to `below` that is there, really lies below `home`, and so can be granted.
fn there(home: &Path, mut below: Vec<String>) -> (PathBuf, Vec<String>) {
    loop {
        let path = below.iter().fold(home.to_owned(), |path, name| path.join(name));
        // Behind a link, it would be another directory than the one that jobs see under this path.
        if below.is_empty() || path.is_dir() && path.canonicalize().is_ok_and(|real| real == path) {
            return (path, below);
        }
        below.pop();
    }
}

fn covers(granted: &Grant, proposed: &Grant) -> bool {
    let (Grant::Fs(granted), Grant::Fs(proposed)) = (granted, proposed) else { return false };
    granted.access >= proposed.access && proposed.path.starts_with(&granted.path) && home_of(granted) == home_of(proposed)
}

/// Where the directory lies, only an operator knows.
fn without_home(name: &GrantName, directory: &[String], access: Access, steps: Vec<String>, known: &Known) -> GrantProposal {
    let seen = std::iter::once(name.to_string()).chain(directory.iter().cloned()).collect::<Vec<_>>().join("/");
    let mut parts = Map::new();
    parts.insert("kind".to_owned(), json!(FsGrant::KIND));
    parts.insert("name".to_owned(), json!(name));
    if !directory.is_empty() {
        parts.insert("at".to_owned(), Value::from(directory.join("/")));
    }
    parts.insert("access".to_owned(), json!(access));
    GrantProposal {
        name: name.to_string(),
        kind: FsGrant::KIND,
        words: format!("{} files below {seen}/", access.words()),
        standing: if known.named(name.as_str()).is_some() { ProposalStanding::Changes } else { ProposalStanding::New },
        steps,
        missing: Some(format!(
            "path = the directory that jobs see as {seen}; approve with --root {name}=DIR, the one that they see as {name}"
        )),
        parts,
        of_the_host: false,
    }
}
