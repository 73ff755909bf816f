//! Keys of what is known of playbooks by now: evidence, what is to be considered, and the policy that it is held against.

use super::{Fields, Key, Kind, Prefix, Reader};
use crate::error::Result;
use crate::ids::{Digest, PlaybookId, RunId, Space};

/// Names one piece of evidence on a component as a playbook has it. All versions with the same component share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EvidenceKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The component.
    pub component: Digest,
    /// Ordered by time.
    pub id: [u8; 16],
}

impl EvidenceKey {
    /// All there is on a component, oldest first.
    #[must_use]
    pub fn of_component(space: &Space, playbook_id: &PlaybookId, component: &Digest) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(playbook_id.as_str()).bytes(component.as_bytes()))
    }
}

impl Key for EvidenceKey {
    const KIND: Kind = Kind::Evidence;

    fn encode(&self) -> Vec<u8> {
        let fields = Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str());
        fields.bytes(self.component.as_bytes()).bytes(&self.id).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let (space, playbook_id) = (fields.space()?, fields.parsed(PlaybookId::parse)?);
        let key = EvidenceKey { space, playbook_id, component: Digest::from_bytes(fields.bytes()?), id: fields.bytes()? };
        fields.end(key)
    }
}

/// Names the mark that the policy has to look at a playbook again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsiderKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
}

impl ConsiderKey {
    /// All marks.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for ConsiderKey {
    const KIND: Kind = Kind::Consider;

    fn encode(&self) -> Vec<u8> {
        Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let key = ConsiderKey { space: fields.space()?, playbook_id: fields.parsed(PlaybookId::parse)? };
        fields.end(key)
    }
}

/// Names what a component showed last on a recorded run: when it was proved against it, or when it was rehearsed on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordingKey {
    /// Whose it is.
    pub space: Space,
    /// The playbook.
    pub playbook_id: PlaybookId,
    /// The component.
    pub component: Digest,
    /// True of a rehearsal, false of a proof.
    pub rehearsed: bool,
    /// The run.
    pub run_id: RunId,
}

impl RecordingKey {
    /// Every recording that a component was shown on.
    #[must_use]
    pub fn of_component(space: &Space, playbook_id: &PlaybookId, component: &Digest) -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND).space(space).text(playbook_id.as_str()).bytes(component.as_bytes()))
    }
}

impl Key for RecordingKey {
    const KIND: Kind = Kind::Recording;

    fn encode(&self) -> Vec<u8> {
        let fields = Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_str());
        fields.bytes(self.component.as_bytes()).bytes(&[u8::from(self.rehearsed)]).text(self.run_id.as_str()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let (space, playbook_id) = (fields.space()?, fields.parsed(PlaybookId::parse)?);
        let (component, [rehearsed]) = (Digest::from_bytes(fields.bytes()?), fields.bytes::<1>()?);
        let key = RecordingKey { space, playbook_id, component, rehearsed: rehearsed != 0, run_id: fields.parsed(RunId::parse)? };
        fields.end(key)
    }
}

/// Names what an operator settled about promotion: for a space, or for one playbook in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyKey {
    /// For whom.
    pub space: Space,
    /// For this playbook alone; none is for all of the space.
    pub playbook_id: Option<PlaybookId>,
}

impl PolicyKey {
    /// Every policy that was settled.
    #[must_use]
    pub fn all() -> Prefix<Self> {
        Prefix::new(Fields::of(Self::KIND))
    }
}

impl Key for PolicyKey {
    const KIND: Kind = Kind::Policy;

    fn encode(&self) -> Vec<u8> {
        // No playbook's id is empty.
        Fields::of(Self::KIND).space(&self.space).text(self.playbook_id.as_ref().map_or("", PlaybookId::as_str)).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = Reader::of(Self::KIND, bytes)?;
        let parse = |text: &str| if text.is_empty() { Ok(None) } else { PlaybookId::parse(text).map(Some) };
        let key = PolicyKey { space: fields.space()?, playbook_id: fields.parsed(parse)? };
        fields.end(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, any_space, check, check_prefix};
    use super::*;
    use proptest::prelude::*;

    fn playbook(id: &str) -> PlaybookId {
        PlaybookId::parse(id).unwrap()
    }

    fn any_evidence() -> impl Strategy<Value = EvidenceKey> {
        (any_space(), any_id(), 0..3u8, any::<[u8; 16]>()).prop_map(|(space, id, component, order)| EvidenceKey {
            space,
            playbook_id: playbook(&id),
            component: Digest::from_bytes([component; 32]),
            id: order,
        })
    }

    fn any_recording() -> impl Strategy<Value = RecordingKey> {
        (any_space(), any_id(), 0..3u8, any::<bool>(), any_id()).prop_map(|(space, id, component, rehearsed, run)| RecordingKey {
            space,
            playbook_id: playbook(&id),
            component: Digest::from_bytes([component; 32]),
            rehearsed,
            run_id: RunId::parse(&run).unwrap(),
        })
    }

    proptest! {
        #[test]
        fn evidence_sorts_by_component_and_then_by_time(a in any_evidence(), b in any_evidence()) {
            check(&a, &b, |key| {
                let EvidenceKey { space, playbook_id, component, id } = key.clone();
                (space.tenant().to_owned(), space.scope().to_owned(), playbook_id.to_string(), component, id)
            });
            let same = (&a.space, &a.playbook_id, &a.component) == (&b.space, &b.playbook_id, &b.component);
            check_prefix(&EvidenceKey::of_component(&a.space, &a.playbook_id, &a.component), &b, same);
        }

        #[test]
        fn recordings_sort_by_component_and_then_by_run(a in any_recording(), b in any_recording()) {
            check(&a, &b, |key| {
                let RecordingKey { space, playbook_id, component, rehearsed, run_id } = key.clone();
                (space.tenant().to_owned(), space.scope().to_owned(), playbook_id.to_string(), component, rehearsed, run_id.to_string())
            });
            let same = (&a.space, &a.playbook_id, &a.component) == (&b.space, &b.playbook_id, &b.component);
            check_prefix(&RecordingKey::of_component(&a.space, &a.playbook_id, &a.component), &b, same);
        }

        #[test]
        fn marks_and_policies_sort_by_playbook(a in (any_space(), any_id()), b in (any_space(), any_id())) {
            let mark = |(space, id): &(Space, String)| ConsiderKey { space: space.clone(), playbook_id: playbook(id) };
            let fields = |space: &Space, id: String| (space.tenant().to_owned(), space.scope().to_owned(), id);
            check(&mark(&a), &mark(&b), |key| fields(&key.space, key.playbook_id.to_string()));
            check_prefix(&ConsiderKey::all(), &mark(&b), true);
            let policy = |(space, id): &(Space, String), of_all: bool| PolicyKey {
                space: space.clone(),
                playbook_id: (!of_all).then(|| playbook(id)),
            };
            let of = |key: &PolicyKey| fields(&key.space, key.playbook_id.as_ref().map(ToString::to_string).unwrap_or_default());
            check(&policy(&a, false), &policy(&b, false), of);
            check(&policy(&a, true), &policy(&b, false), of);
        }
    }
}
