//! Which nodes belong to which, and in which order each list of them is done.
//!
//! A node that a condition, a parallel node, an approval or a handler names belongs to it; the others stand at the top.
//! Within its list, a node comes after those that `after` names, or after the one before it. Where that leaves a
//! choice, the order of the list decides, so that the same graph is always done in the same order.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Asks, Document, Kind};
use crate::error::Issue;
use crate::limits;

/// Places of nodes, each list in the order in which it is done.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    /// Those that belong to no other.
    pub top: Vec<usize>,
    /// By the place of the node to which they belong, and the field that names them.
    arms: BTreeMap<(usize, String), Vec<usize>>,
}

impl Groups {
    /// The nodes of one arm.
    pub(super) fn arm(&self, node: usize, field: &str) -> &[usize] {
        self.arms.get(&(node, field.to_owned())).map(Vec::as_slice).unwrap_or_default()
    }
}

/// To which node another one belongs, and by which field.
#[derive(Debug, Clone, PartialEq)]
struct Owner {
    node: usize,
    field: String,
    always: bool,
}

struct Ordering<'a> {
    document: &'a Document,
    issues: &'a mut Vec<Issue>,
    places: BTreeMap<&'a str, usize>,
    owners: Vec<Option<Owner>>,
    groups: Groups,
}

/// The groups of `document`; whatever is wrong with ids, belonging and order is added to `issues`.
pub(super) fn groups(document: &Document, issues: &mut Vec<Issue>) -> Groups {
    let mut ordering =
        Ordering { document, issues, places: BTreeMap::new(), owners: vec![None; document.nodes.len()], groups: Groups::default() };
    ordering.ids();
    ordering.belonging();
    ordering.guards();
    ordering.groups.top = (0..document.nodes.len()).filter(|node| ordering.owners[*node].is_none()).collect();
    ordering.circles_of_belonging();
    if ordering.issues.is_empty() {
        ordering.sort_all();
    }
    ordering.groups
}

impl<'a> Ordering<'a> {
    fn issue(&mut self, node: usize, field: &str, message: String) {
        self.issues.push(Issue { path: format!("/nodes/{node}{field}"), message });
    }

    fn id(&self, node: usize) -> &'a str {
        &self.document.nodes[node].id
    }

    fn ids(&mut self) {
        for (node, written) in self.document.nodes.iter().enumerate() {
            if written.id.is_empty() {
                continue;
            }
            if let Some(first) = self.places.insert(&written.id, node) {
                self.places.insert(&written.id, first);
                self.issue(node, "/id", format!("{:?} is the id of /nodes/{first} too; each node has its own", written.id));
            }
        }
        for (node, written) in self.document.nodes.iter().enumerate() {
            if let Some(first) = written.id.strip_suffix(super::lower::UNDO).filter(|id| self.places.contains_key(id)) {
                self.issue(node, "/id", format!("{:?} is what undoing {first:?} is called", written.id));
            }
        }
    }

    fn known(&mut self, node: usize, field: &str, id: &str) -> Option<usize> {
        let place = self.places.get(id).copied();
        if place.is_none() {
            let known: Vec<&str> = self.places.keys().copied().take(8).collect();
            self.issue(node, field, format!("there is no node {id:?}; there are {}", known.join(", ")));
        }
        place
    }

    /// Notes to which node each belongs. The order of the arms decides which claim counts, and every other is an issue.
    fn belonging(&mut self) {
        for node in 0..self.document.nodes.len() {
            for arm in self.document.nodes[node].arms() {
                let guard = arm.field == "/for";
                let mut members = Vec::new();
                for (n, id) in arm.ids.iter().enumerate() {
                    let field = if guard { arm.field.clone() } else { format!("{}/{n}", arm.field) };
                    let Some(member) = self.known(node, &field, id) else { continue };
                    // A guarded node may also stand in the list in which its approval stands.
                    if guard {
                        continue;
                    }
                    let owner = Owner { node, field: arm.field.clone(), always: arm.always };
                    match self.owners[member].clone() {
                        None if member == node => self.issue(node, &field, format!("{id:?} cannot belong to itself")),
                        None => {
                            self.owners[member] = Some(owner);
                            members.push(member);
                        }
                        Some(other) if other == owner => self.issue(node, &field, format!("{id:?} stands in this list twice")),
                        Some(other) => {
                            let message = format!(
                                "{id:?} already belongs to `{}` of {:?}; a node is in one list: give the second one its own id, or put \
                                 what both have in common after the node that decides",
                                other.field.trim_start_matches('/'),
                                self.id(other.node)
                            );
                            self.issue(node, &field, message);
                        }
                    }
                }
                if !guard {
                    self.groups.arms.insert((node, arm.field), members);
                }
            }
        }
    }

    /// A guarded node belongs to its approval, and to nothing else.
    fn guards(&mut self) {
        let mut guarded: BTreeMap<usize, usize> = BTreeMap::new();
        for (node, written) in self.document.nodes.iter().enumerate() {
            let Kind::Approval { asks: Asks::For(id), .. } = &written.kind else { continue };
            let Some(target) = self.places.get(id.as_str()).copied() else { continue };
            if !matches!(self.document.nodes[target].kind, Kind::Tool { .. } | Kind::Playbook { .. }) {
                self.issue(node, "/for", format!("{id:?} is no tool and no playbook; an approval guards one of those"));
                continue;
            }
            if let Some(first) = guarded.insert(target, node) {
                self.issue(node, "/for", format!("{id:?} is guarded by {:?} already", self.id(first)));
                continue;
            }
            let mine = self.owners[node].clone();
            match self.owners[target].clone() {
                // It stands in `then` of its approval already, where it is wanted.
                Some(of) if of.node == node && of.field == "/then" => continue,
                Some(of) if mine.as_ref() != Some(&of) => {
                    let message = format!(
                        "{id:?} stands in `{}` of {:?} and this approval does not; it would run there unasked",
                        of.field.trim_start_matches('/'),
                        self.id(of.node)
                    );
                    self.issue(node, "/for", message);
                    continue;
                }
                Some(of) => {
                    if let Some(members) = self.groups.arms.get_mut(&(of.node, of.field)) {
                        members.retain(|member| *member != target);
                    }
                }
                None => {}
            }
            // What is approved is done first, and then what `then` names.
            self.owners[target] = Some(Owner { node, field: "/then".to_owned(), always: !written.goes_on_unapproved() });
            self.groups.arms.entry((node, "/then".to_owned())).or_default().insert(0, target);
        }
    }

    /// Nodes that belong to one another in a circle are never reached.
    fn circles_of_belonging(&mut self) {
        let mut told = BTreeSet::new();
        for start in 0..self.owners.len() {
            let mut way = vec![start];
            while let Some(owner) = &self.owners[*way.last().unwrap_or(&start)] {
                if let Some(at) = way.iter().position(|node| *node == owner.node) {
                    let mut circle: Vec<usize> = way[at..].to_vec();
                    circle.sort_unstable();
                    if told.insert(circle) {
                        let names: Vec<String> = way[at..].iter().chain([&way[at]]).map(|node| format!("{:?}", self.id(*node))).collect();
                        self.issue(way[at], "", format!("belongs to itself: {}; nothing begins there", names.join(" belongs to ")));
                    }
                    break;
                }
                way.push(owner.node);
                if way.len() > limits::PLAN_NESTING_MAX + 1 {
                    self.issue(start, "", format!("nested deeper than {} levels", limits::PLAN_NESTING_MAX));
                    break;
                }
            }
        }
    }

    /// From a node up to the top: what it belongs to, and what that belongs to.
    fn line(&self, node: usize) -> Vec<usize> {
        let mut line = vec![node];
        let mut at = node;
        while let Some(owner) = &self.owners[at] {
            at = owner.node;
            line.push(at);
        }
        line
    }

    /// Which nodes have to be done before others, both in the same list.
    fn pairs(&mut self) -> BTreeSet<(usize, usize)> {
        let mut pairs = BTreeSet::new();
        for node in 0..self.document.nodes.len() {
            let Some(after) = &self.document.nodes[node].after else { continue };
            let mut ways: Vec<(usize, usize, usize)> = Vec::new();
            for (n, id) in after.iter().enumerate() {
                let field = format!("/after/{n}");
                let Some(before) = self.known(node, &field, id) else { continue };
                if before == node {
                    self.issue(node, &field, format!("{id:?} cannot come after itself"));
                    continue;
                }
                let (mine, theirs) = (self.line(node), self.line(before));
                if theirs.contains(&node) {
                    self.issue(node, &field, format!("{id:?} is part of this node"));
                    continue;
                }
                if mine.contains(&before) {
                    // Whatever belongs to a node comes after it anyway.
                    continue;
                }
                // The nearest list that holds both, or what they belong to.
                let found = mine.iter().find_map(|m| theirs.iter().find(|t| self.owners[**t] == self.owners[*m]).map(|t| (*m, *t)));
                // Where both are part of one node and of no common list, they are in two arms of it.
                let found = found.filter(|(here, there)| here != there);
                match found {
                    Some((here, there)) => {
                        pairs.insert((there, here));
                        ways.push((n, before, there));
                    }
                    None => {
                        let both = mine.iter().find(|m| theirs.contains(m)).map_or("", |common| self.id(*common));
                        self.issue(node, &field, format!("{id:?} stands in another arm of {both:?}; the two never wait for one another"));
                    }
                }
            }
            self.half_ways(node, &ways);
        }
        pairs
    }

    /// Coming after what may not run says nothing about whether this runs: that has to be meant.
    fn half_ways(&mut self, node: usize, ways: &[(usize, usize, usize)]) {
        let mut named: BTreeMap<usize, usize> = BTreeMap::new();
        let mut arms: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (n, before, _) in ways {
            named.entry(*before).or_insert(*n);
        }
        for owner in named.keys().flat_map(|before| self.line(*before)).filter_map(|up| self.owners[up].clone()) {
            arms.entry(owner.node).or_default().insert(owner.field);
        }
        for (before, there) in ways.iter().map(|(_, before, there)| (*before, *there)).collect::<BTreeSet<_>>() {
            // Only what lies between the two lists counts.
            let way = self.line(before).into_iter().take_while(|up| *up != there);
            let Some(owner) = way.filter_map(|up| self.owners[up].clone()).find(|owner| !owner.always) else { continue };
            if named.contains_key(&owner.node) || arms.get(&owner.node).is_some_and(|fields| fields.len() > 1) {
                continue;
            }
            let (arm, id, of) = (owner.field.trim_start_matches('/'), self.id(node), self.id(owner.node));
            let message = format!(
                "{:?} depends on {of:?} and may not run; put {id:?} into `{arm}` of {of:?}, or say that it comes after {of:?}, whatever \
                 happens there",
                self.id(before)
            );
            self.issue(node, &format!("/after/{}", named[&before]), message);
        }
    }

    fn sort_all(&mut self) {
        let mut firsts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (before, node) in self.pairs() {
            firsts.entry(node).or_default().insert(before);
        }
        let top = std::mem::take(&mut self.groups.top);
        self.groups.top = self.sorted(&top, &firsts);
        let arms = std::mem::take(&mut self.groups.arms);
        for (arm, members) in arms {
            let sorted = self.sorted(&members, &firsts);
            self.groups.arms.insert(arm, sorted);
        }
    }

    /// What merely stands behind an approval must not be done by oversight where nobody approved.
    fn refuse_unapproved(&mut self, node: usize, before: usize) {
        if self.document.nodes[before].goes_on_unapproved() {
            let (ask, id) = (self.id(before), self.id(node));
            let message = format!(
                "{id:?} follows the approval {ask:?}, after which the graph goes on though nobody approved; put {id:?} into `then` of {ask:?},                  or say \"after\": [{ask:?}] where it is to be done whatever the person says"
            );
            self.issue(node, "", message);
        }
    }

    /// Always the first of the list that waits for none of those that are left.
    fn sorted(&mut self, list: &[usize], firsts: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<usize> {
        let mut before: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (place, node) in list.iter().enumerate() {
            let mut first = firsts.get(node).cloned().unwrap_or_default();
            if place > 0 && self.document.nodes[*node].after.is_none() {
                self.refuse_unapproved(*node, list[place - 1]);
                first.insert(list[place - 1]);
            }
            before.insert(*node, first);
        }
        let mut placed = vec![false; self.document.nodes.len()];
        let mut sorted: Vec<usize> = Vec::new();
        let mut left: Vec<usize> = list.to_vec();
        while let Some(at) = left.iter().position(|node| before[node].iter().all(|first| placed[*first])) {
            let next = left.remove(at);
            placed[next] = true;
            sorted.push(next);
        }
        if let Some(start) = left.first() {
            // Everything that is left waits for something that is left: following that leads into a circle.
            let mut way = vec![*start];
            let circle = loop {
                let next = before[way.last().unwrap_or(start)].iter().find(|node| left.contains(node)).copied().unwrap_or(*start);
                if let Some(at) = way.iter().position(|node| *node == next) {
                    break way[at..].to_vec();
                }
                way.push(next);
            };
            let names: Vec<String> = circle.iter().chain([&circle[0]]).map(|node| format!("{:?}", self.id(*node))).collect();
            self.issue(circle[0], "/after", format!("a cycle: {}", names.join(" comes after ")));
        }
        sorted
    }
}
