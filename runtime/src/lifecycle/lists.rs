//! Lists of playbooks that a filter takes. Each page looks at a bounded number of rows, and says where the next one begins.

use super::{Playbooks, Status, Summary};
use crate::error::Result;
use crate::ids::{PlaybookId, Space};
use crate::limits;

/// Which playbooks a list is about.
#[derive(Debug, Clone, Default)]
pub struct PlaybookFilter {
    /// Those whose version that runs has this status.
    pub status: Option<Status>,
    /// Those with this text in their id or name, whatever its case.
    pub text: Option<String>,
}

impl PlaybookFilter {
    fn takes(&self, summary: &Summary) -> bool {
        let has = |text: &String| {
            let text = text.to_lowercase();
            summary.playbook_id.as_str().to_lowercase().contains(&text) || summary.name.to_lowercase().contains(&text)
        };
        self.status.is_none_or(|status| status == summary.active_status) && self.text.as_ref().is_none_or(has)
    }
}

impl Playbooks {
    /// As [`Playbooks::list`], of those that the filter takes, and behind which playbook the next page begins. It looks at a bounded
    /// number: where few fit, a page is shorter than asked for, and not the last.
    ///
    /// # Errors
    /// What the store says.
    pub fn list_where(
        &self,
        space: &Space,
        filter: &PlaybookFilter,
        after: Option<&PlaybookId>,
        limit: usize,
    ) -> Result<(Vec<Summary>, Option<PlaybookId>)> {
        let (mut found, mut after, mut looked): (Vec<Summary>, _, _) = (Vec::new(), after.cloned(), 0);
        loop {
            let page = self.list(space, after.as_ref(), limits::PAGE_ROWS_MAX)?;
            let is_last = page.len() < limits::PAGE_ROWS_MAX;
            for summary in page {
                if looked >= limits::FILTERED_ROWS_MAX {
                    return Ok((found, after));
                }
                looked += 1;
                if filter.takes(&summary) && found.len() == limit {
                    let next = found.last().map(|last| last.playbook_id.clone());
                    return Ok((found, next));
                }
                after = Some(summary.playbook_id.clone());
                if filter.takes(&summary) {
                    found.push(summary);
                }
            }
            if is_last {
                return Ok((found, None));
            }
        }
    }
}
