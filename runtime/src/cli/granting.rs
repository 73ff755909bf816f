//! The arguments of what only operators do: `reprise grants`.

use clap::{Args, Subcommand};

use super::args::parse_grant;
use super::steering::At;
use crate::tools::grants::{Grant, GrantName};

#[derive(Subcommand)]
pub(super) enum GrantsCommand {
    /// What all jobs may reach, and where each grant comes from.
    List(GrantsList),
    /// Grant something to all jobs, from their next attempt on.
    Add(GrantAdd),
    /// Take a grant back that was added.
    Remove(GrantRemove),
}

#[derive(Args)]
pub(super) struct GrantsList {
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct GrantAdd {
    /// fs:DIR[:ro], fs:NAME=DIR[:ro], http:ORIGIN[=GET,POST], kv:SPACE[:ro], exec:PROGRAM@GRANT[=ARGS], secret:SECRET@GRANT=PLACE; for
    /// tool components KIND@NAMESPACE:..., env@NAMESPACE:VARIABLE=VALUE, clock@NAMESPACE, random@NAMESPACE. See docs/GRANTS.md.
    #[arg(value_name = "GRANT", value_parser = parse_grant)]
    pub grant: Grant,
    /// What it is called [default: the directory's, the host's or the program's own name].
    #[arg(long, value_name = "NAME", value_parser = parse_grant_name)]
    pub name: Option<GrantName>,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct GrantRemove {
    /// The grant's name.
    #[arg(value_name = "NAME", value_parser = parse_grant_name)]
    pub name: GrantName,
    #[command(flatten)]
    pub at: At,
}

fn parse_grant_name(text: &str) -> Result<GrantName, String> {
    GrantName::parse(text).map_err(|e| e.message)
}
