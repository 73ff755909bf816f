//! `reprise jobs list|show|journal`.

use serde_json::json;

use super::args::Global;
use super::exit;
use super::output::{Output, table};
use super::standing::in_words;
use super::steer::{Door, open};
use super::steering::{JobJournal, JobShow, JobsList};
use crate::clock::rfc3339;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::journal::{Entry, Filter, Status, view};
use crate::limits;

pub(super) async fn list(global: &Global, args: JobsList, output: &Output) -> Result<u8> {
    let status = args.status.map(|text| Status::parse(&text).ok_or_else(|| unknown_status(&text))).transpose()?;
    let before = args.page.cursor.as_deref().map(JobId::parse).transpose()?;
    let engine = global.existing().await?;
    let filter = Filter { status, playbook_id: args.playbook };
    let page = engine.jobs(&global.space()?, &filter, before, args.page.limit)?;
    output.show(
        || {
            let job = |(id, head): &(JobId, crate::journal::Head)| {
                json!({"job_id": id, "status": head.status.as_str(), "playbook_id": head.playbook_id, "version": head.version,
                       "created_at": rfc3339(head.created_at_ms), "updated_at": rfc3339(head.updated_at_ms)})
            };
            json!({"jobs": page.jobs.iter().map(job).collect::<Vec<_>>(), "next": page.next})
        },
        || {
            let rows = page.jobs.iter().map(|(id, head)| {
                [
                    id.to_string(),
                    head.status.as_str().to_owned(),
                    format!("{}@{}", head.playbook_id, head.version),
                    rfc3339(head.created_at_ms),
                ]
            });
            let more = page.next.map(|next| format!("\nmore with --cursor {next}")).unwrap_or_default();
            format!("{}{more}", table(["job", "status", "playbook", "created"], rows))
        },
    );
    Ok(exit::OK)
}

fn unknown_status(text: &str) -> Error {
    let known = "ready, running, waiting, paused, uncertain, parked, completed, failed, cancelled";
    Error::invalid("--status", format!("{text:?} is no status; one of {known}"))
}

pub(super) async fn show(global: &Global, args: JobShow, output: &Output) -> Result<u8> {
    let query: Vec<(&str, String)> = args.at.iter().map(|seq| ("at", seq.to_string())).collect();
    let job = match open(global, &args.server).await? {
        Door::There(server) => server.get(&format!("/v1/jobs/{}", args.job.job), &query).await?,
        Door::Here(engine) => {
            let (space, job) = (global.space()?, args.job.job);
            match args.at {
                None => engine.job(&space, &job).await?.to_json(),
                Some(seq) => engine.state_at(&space, &job, seq).await?.to_json(),
            }
        }
    };
    output.show(|| job.clone(), || in_words(&job, args.server.url.as_deref()));
    Ok(exit::OK)
}

pub(super) async fn journal(global: &Global, args: JobJournal, output: &Output) -> Result<u8> {
    let engine = global.existing().await?;
    let space = global.space()?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut after = args.after;
    loop {
        let page = engine.journal(&space, &args.job.job, after, limits::PAGE_ROWS_MAX)?;
        let Some(last) = page.last() else { break };
        after = Some(last.seq);
        entries.extend(page);
    }
    output.show(|| json!({"job_id": args.job.job, "entries": entries.iter().map(view::object).collect::<Vec<_>>()}), || as_table(&entries));
    Ok(exit::OK)
}

/// The journal as a table; times are those since the first entry shown.
pub(super) fn as_table(entries: &[Entry]) -> String {
    let start = entries.first().map_or(0, |entry| entry.at_ms);
    let rows = entries.iter().map(|entry| {
        let hash = entry.hash.to_string()[..8].to_owned();
        [entry.seq.to_string(), format!("+{} ms", entry.at_ms - start), entry.body.kind().to_owned(), one_row(&view::line(entry)), hash]
    });
    table(["#", "time", "entry", "what", "hash"], rows)
}

/// What fits into a row of a table that is 120 wide; `--json` has all of it.
fn one_row(text: &str) -> String {
    const CHARS: usize = 76;
    match text.char_indices().nth(CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
