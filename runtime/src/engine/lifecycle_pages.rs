//! What is known of a playbook's life, as pages that HTTP and the command line show alike.

use super::lifecycle::Piece;
use super::{Engine, Promoted};
use crate::error::Result;
use crate::ids::{PlaybookId, Space};
use crate::lifecycle::Version;
use crate::lifecycle::evidence::EventFilter;
use crate::lifecycle::view::{
    ChangeView, EvidencePage, EvidenceView, HistoryPage, HistoryRow, LedgerPage, PolicyView, PromotionView, VerdictView, VersionPage,
    VersionRow,
};
use crate::limits;

/// The first `limit` rows of one more, and the cursor that names the last of them where there are more.
fn paged<T>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    (rows, next)
}

fn names(space: &Space, id: &PlaybookId) -> (String, String, String) {
    (space.tenant().to_owned(), space.scope().to_owned(), id.to_string())
}

fn pieces(pieces: &[Piece], limit: usize) -> (Vec<EvidenceView>, Option<String>) {
    let rows = pieces.iter().map(|(id, event)| EvidenceView::of(id, event)).collect();
    paged(rows, limit, |row: &EvidenceView| row.evidence_id.clone())
}

impl Engine {
    /// Versions, newest first; those before `before` where one is given.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn versions_page(&self, space: &Space, id: &PlaybookId, before: Option<u32>, limit: usize) -> Result<VersionPage> {
        let runs = self.playbook(space, id, None)?.version;
        let row = |version: &Version| Ok(VersionRow::of(version, runs, self.playbooks.reviewed_as(space, version)?.as_ref()));
        let rows = self.versions(space, id, before, limit + 1)?.iter().map(row).collect::<Result<Vec<VersionRow>>>()?;
        let (versions, next) = paged(rows, limit, |row: &VersionRow| row.version.to_string());
        let (tenant_id, scope, playbook_id) = names(space, id);
        Ok(VersionPage { tenant_id, scope, playbook_id, versions, next })
    }

    /// How versions came about, newest first.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn history_page(&self, space: &Space, id: &PlaybookId, before: Option<u32>, limit: usize) -> Result<HistoryPage> {
        let VersionPage { tenant_id, scope, playbook_id, versions, next } = self.versions_page(space, id, before, limit)?;
        let row = |row: VersionRow| HistoryRow { version: row.version, status: row.status, change: row.made_by };
        Ok(HistoryPage { tenant_id, scope, playbook_id, changes: versions.into_iter().map(row).collect(), next })
    }

    /// Evidence on a version's component, newest first, and what the policy makes of it. A page looks at a bounded number of
    /// pieces: where few fit the filter, it is shorter than asked for, and not the last.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn evidence_page(
        &self,
        space: &Space,
        id: &PlaybookId,
        version: Option<u32>,
        filter: EventFilter,
        mut before: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<EvidencePage> {
        let (mut found, mut looked) = (Vec::new(), 0);
        let (version, on) = loop {
            let (version, events) = self.evidence_on(space, id, version, before, limit + 1)?;
            (before, looked) = (events.last().map(|(id, _)| *id), looked + events.len());
            let is_last = events.len() <= limit;
            found.extend(events.into_iter().filter(|(_, event)| filter.lets(event)));
            match before {
                _ if is_last || found.len() > limit => break (version, None),
                Some(id) if looked >= limits::EVIDENCE_LOOKED_AT_MAX => break (version, Some(hex::encode(id))),
                _ => {}
            }
        };
        let verdict = VerdictView::of(&version, &self.judged(space, &version)?);
        let (evidence, next) = pieces(&found, limit);
        let next = next.or(on);
        let (tenant_id, scope, playbook_id) = names(space, id);
        Ok(EvidencePage { tenant_id, scope, playbook_id, component_digest: version.component.to_string(), verdict, evidence, next })
    }

    /// What a playbook saved, and a page of its jobs.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub async fn ledger_page(&self, space: &Space, id: &PlaybookId, before: Option<[u8; 16]>, limit: usize) -> Result<LedgerPage> {
        let (ledger, jobs) = self.ledger(space, id, before, limit + 1).await?;
        let (rows, next) = pieces(&jobs, limit);
        let (tenant_id, scope, playbook_id) = names(space, id);
        Ok(LedgerPage { tenant_id, scope, playbook_id, ledger, rows, next })
    }

    /// What a promotion came to.
    ///
    /// # Errors
    /// What the store says.
    pub fn promotion_view(&self, space: &Space, promoted: &Promoted) -> Result<PromotionView> {
        let version = &promoted.version;
        let (tenant_id, scope, playbook_id) = names(space, &version.playbook_id);
        Ok(PromotionView {
            tenant_id,
            scope,
            playbook_id,
            from_version: promoted.from.version,
            to_version: version.version,
            status: version.status,
            unchanged: promoted.unchanged,
            active_version: self.playbook(space, &version.playbook_id, None)?.version,
            change: ChangeView::of(&version.made_by),
        })
    }

    /// The policy of a playbook, or of a space where none is named.
    ///
    /// # Errors
    /// `replay_playbook_not_found`.
    pub fn policy_view(&self, space: &Space, id: Option<&PlaybookId>) -> Result<PolicyView> {
        let (policy, settled) = self.policy(space, id)?;
        let (tenant_id, scope) = (space.tenant().to_owned(), space.scope().to_owned());
        Ok(PolicyView { tenant_id, scope, playbook_id: id.map(ToString::to_string), policy, settled: settled.to_json() })
    }
}
