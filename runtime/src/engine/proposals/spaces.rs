//! Key-value spaces: each that was used, to read where nothing was changed in it.

use std::collections::BTreeMap;

use super::{GrantProposal, Known, Reached, proposal, texts};
use crate::tools::grants::{Access, Grant, GrantName, KvGrant, To};

pub(super) fn propose(calls: &[Reached], known: &Known) -> Vec<GrantProposal> {
    let mut spaces: BTreeMap<String, (Access, Vec<String>)> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.tool.namespace() == "kv") {
        let Some(space) = texts(call, "space").into_iter().find(|space| space.whole) else { continue };
        let access = if call.effect.touches_nothing() { Access::ReadOnly } else { Access::ReadWrite };
        let (most, steps) = spaces.entry(space.text).or_insert((access, Vec::new()));
        *most = access.max(*most);
        steps.push(call.step.clone());
    }
    spaces.into_iter().filter_map(|(space, (access, steps))| of_space(&space, access, steps, known)).collect()
}

fn of_space(space: &str, access: Access, steps: Vec<String>, known: &Known) -> Option<GrantProposal> {
    let grant = Grant::Kv(KvGrant { name: GrantName::parse(space).ok()?, access, to: To::BUILTIN });
    let covers = |other: &Grant| matches!(other, Grant::Kv(kv) if kv.access >= access);
    let standing = known.standing(&grant, covers);
    Some(proposal(&grant, standing, steps))
}
