//! The arguments of what only operators do: `reprise grants`, `reprise secrets` and `reprise playbooks activate`.

use clap::{Args, Subcommand};

use super::args::{parse_grant, parse_pair};
use super::lifecycle_args::Word;
use super::steering::At;
use crate::ids::SecretName;
use crate::tools::grants::{Grant, GrantName};

#[derive(Subcommand)]
pub(super) enum GrantsCommand {
    /// What all jobs may reach, and where each grant comes from.
    List(GrantsList),
    /// Grant something to all jobs, from their next attempt on.
    Add(GrantAdd),
    /// Grant what a run needed and no more, or what stands in a file.
    Approve(GrantApprove),
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
pub(super) struct GrantApprove {
    /// A recorded run, or a TOML file with [[grant]] in it.
    #[arg(value_name = "RUN|FILE")]
    pub what: String,
    /// Jobs see the directory DIR of this machine under the grant NAME. Repeatable.
    #[arg(long = "root", value_name = "NAME=DIR", value_parser = parse_pair)]
    pub roots: Vec<(String, String)>,
    /// Show what would be granted, as it stands in reprise.toml, and grant nothing.
    #[arg(long)]
    pub dry_run: bool,
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

#[derive(Args)]
pub(super) struct PlaybookActivate {
    /// The playbook's id, with @VERSION.
    #[arg(value_name = "PLAYBOOK@VERSION")]
    pub version: String,
    #[command(flatten)]
    pub at: At,
    #[command(flatten)]
    pub word: Word,
}

#[derive(Subcommand)]
pub(super) enum SecretsCommand {
    /// Which secrets there are, and which grants name them; never what they are.
    List(SecretsList),
    /// Keep a value under a name: from standard input, or typed unseen.
    Set(SecretSet),
    /// Forget a secret.
    Remove(SecretRemove),
}

#[derive(Args)]
pub(super) struct SecretsList {
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct SecretSet {
    /// What it is called; jobs write {{secret:NAME}}. The value is never an argument.
    #[arg(value_name = "NAME", value_parser = parse_secret_name)]
    pub name: SecretName,
    /// Take the value of this environment variable.
    #[arg(long, value_name = "VAR")]
    pub from_env: Option<String>,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct SecretRemove {
    /// The secret's name.
    #[arg(value_name = "NAME", value_parser = parse_secret_name)]
    pub name: SecretName,
    #[command(flatten)]
    pub at: At,
}

fn parse_secret_name(text: &str) -> Result<SecretName, String> {
    SecretName::parse(text).map_err(|e| e.issues.into_iter().next().map_or(e.message, |issue| issue.message))
}

fn parse_grant_name(text: &str) -> Result<GrantName, String> {
    GrantName::parse(text).map_err(|e| e.message)
}
