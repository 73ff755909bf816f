//! Arguments of `reprise playbooks show|versions|evidence|history|promote|disable|policy|diff|ledger`.

use clap::Args;

use super::args::Page;
use super::steering::At;
use crate::lifecycle::Status;

/// A playbook.
#[derive(Args)]
pub(super) struct OfPlaybook {
    /// The playbook's id; with @VERSION one version of it.
    #[arg(value_name = "PLAYBOOK[@VERSION]")]
    pub playbook: String,
    #[command(flatten)]
    pub at: At,
}

/// A page of what there is of a playbook.
#[derive(Args)]
pub(super) struct PageOf {
    #[command(flatten)]
    pub of: OfPlaybook,
    #[command(flatten)]
    pub page: Page,
}

/// `promote`.
#[derive(Args)]
pub(super) struct Promote {
    #[command(flatten)]
    pub of: OfPlaybook,
    /// The status it is to have: draft, shadow or active.
    #[arg(long, value_name = "STATUS", default_value = "active", value_parser = parse_status)]
    pub to: Status,
    #[command(flatten)]
    pub word: Word,
}

/// `disable`.
#[derive(Args)]
pub(super) struct Disable {
    #[command(flatten)]
    pub of: OfPlaybook,
    #[command(flatten)]
    pub word: Word,
}

/// Who says so, and why.
#[derive(Args)]
pub(super) struct Word {
    /// Why; shown for as long as the playbook is there.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `policy`.
#[derive(Args)]
pub(super) struct PolicyArgs {
    /// The playbook; the space's policy where none is named.
    #[arg(value_name = "PLAYBOOK")]
    pub playbook: Option<String>,
    /// Settle a part of it: active.successes=10. Repeatable; what was settled before and is not named is taken back.
    #[arg(long = "set", value_name = "PART=VALUE", value_parser = parse_part)]
    pub set: Vec<(String, serde_json::Value)>,
    /// Take back everything that was settled here.
    #[arg(long, conflicts_with = "set")]
    pub reset: bool,
    #[command(flatten)]
    pub at: At,
}

/// `diff`.
#[derive(Args)]
pub(super) struct DiffArgs {
    /// The playbook's id.
    #[arg(value_name = "PLAYBOOK")]
    pub playbook: String,
    /// The older version.
    #[arg(value_name = "FROM")]
    pub from: u32,
    /// The newer version; the one that runs where none is named.
    #[arg(value_name = "TO")]
    pub to: Option<u32>,
    #[command(flatten)]
    pub at: At,
}

fn parse_status(text: &str) -> Result<Status, String> {
    let status = Status::parse(text).filter(|status| *status != Status::Disabled);
    status.ok_or_else(|| "is not draft, shadow or active; `reprise playbooks disable` disables".to_owned())
}

fn parse_part(text: &str) -> Result<(String, serde_json::Value), String> {
    let (part, value) = text.split_once('=').ok_or("is not PART=VALUE, such as active.successes=10")?;
    let value = serde_json::from_str(value).map_err(|_| format!("{value:?} is not a number, true or false"))?;
    Ok((part.to_owned(), value))
}
