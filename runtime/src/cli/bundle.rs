//! `reprise pack` and `reprise install`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::args::{Global, playbook_and_version};
use super::output::{Output, printable, shell};
use super::steering::parse_job_id;
use super::{exit, remote, show, tools};
use crate::blocking;
use crate::bundles::Bundle;
use crate::engine::Installation;
use crate::error::Result;
use crate::ids::JobId;

#[derive(Args)]
#[command(group = ArgGroup::new("where").required(true))]
pub(super) struct Pack {
    /// The playbook's id, with or without @VERSION.
    #[arg(value_name = "PLAYBOOK[@VERSION]")]
    pub playbook: String,
    /// Write one file, a tar.
    #[arg(short, long, value_name = "FILE.tar", group = "where")]
    pub out: Option<PathBuf>,
    /// Write a directory, which must be empty or not be there.
    #[arg(long, value_name = "DIR", group = "where")]
    pub dir: Option<PathBuf>,
    /// Put in the evidence of a job of this playbook: its whole journal, with what it was run with. Repeatable.
    #[arg(long, value_name = "JOB", value_parser = parse_job_id)]
    pub evidence: Vec<JobId>,
}

#[derive(Args)]
pub(super) struct Install {
    /// What `reprise pack` wrote: a file, or a directory.
    #[arg(value_name = "FILE|DIR")]
    pub bundle: PathBuf,
    /// Check everything and say what would happen, and keep nothing.
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) async fn pack(global: &Global, args: Pack, output: &Output) -> Result<u8> {
    let (id, version) = playbook_and_version(&args.playbook)?;
    let engine = global.existing().await.map_err(remote::served)?;
    let (bundle, packed) = engine.pack(&global.space()?, &id, version, &args.evidence).await?;
    let (file, is_folder) = match (args.out, args.dir) {
        (Some(file), _) => (file, false),
        (None, folder) => (folder.unwrap_or_default(), true),
    };
    let written = file.clone();
    let bytes = blocking::run(move || if is_folder { bundle.write_folder(&file) } else { bundle.write_file(&file) }).await?;
    output.show(
        || {
            let mut shown = fields(&packed);
            shown["file"] = json!(written);
            shown["bytes"] = json!(bytes);
            shown
        },
        || {
            let head = format!("{}: {bytes} bytes, playbook {}, version {}", written.display(), packed.playbook_id, packed.version);
            let next = format!("Next, on the other machine: reprise install {}", shell(&written.display().to_string()));
            [vec![head], what_it_shows(&packed), what_is_in_it(&packed), vec![next]].concat().join("\n")
        },
    );
    Ok(exit::OK)
}

pub(super) async fn install(global: &Global, args: Install, output: &Output) -> Result<u8> {
    let place = args.bundle.display().to_string();
    let bundle = blocking::run(move || Bundle::read(&args.bundle)).await.map_err(|e| e.at(&place))?;
    let engine = global.engine(Vec::new()).await.map_err(remote::served)?;
    let installed = engine.install(&global.space()?, bundle, args.dry_run).await.map_err(|e| e.at(&place))?;
    output.show(|| fields(&installed), || in_words(&installed));
    Ok(exit::OK)
}

/// `dry_run` is no word of packing, but it is the same view.
fn fields(installation: &Installation) -> Value {
    serde_json::to_value(installation).expect("an installation has string keys")
}

fn in_words(installed: &Installation) -> String {
    let Installation { playbook_id: id, version, .. } = installed;
    let state = match (installed.dry_run, installed.repeated) {
        (true, true) => "is here already; installing would change nothing of it",
        (true, false) => "would be installed; nothing was kept",
        (false, true) => "was here already",
        (false, false) => "is installed",
    };
    let head = format!("Playbook {id}, version {version} {state}: {}", printable(&installed.name));
    let made = format!("Packed by {}, component sha256 {}", printable(&installed.made_by), installed.component_digest);
    let (word, note) = match &installed.standing {
        Some(standing) => (shell(&show::named(id, *version, standing)), show::standing_note(id, *version, standing)),
        None => (shell(id.as_str()), String::new()),
    };
    let needed = &installed.grants_needed;
    let grant = |(name, access): (&String, &&str)| {
        format!(" --grant {}", shell(&format!("fs:{name}=DIR{}", if *access == "ro" { ":ro" } else { "" })))
    };
    let next = match installed.dry_run {
        true => String::new(),
        false => {
            format!(
                "{note}Next: reprise inspect {word}\n      reprise run {word} --input JSON{}",
                needed.iter().map(grant).collect::<String>()
            )
        }
    };
    let lines = [vec![head, made], what_it_shows(installed), what_is_in_it(installed), vec![next]].concat();
    lines.join("\n").trim_end().to_owned()
}

fn what_it_shows(installation: &Installation) -> Vec<String> {
    let plan = match installation.explained_by {
        "plan" => "Shown: its code is exactly what its plan compiles to.",
        _ => "Not shown: it carries no plan, so what it does within its imports only its code tells.",
    };
    let recording = match (&installation.proof, &installation.run_id) {
        (Some(proof), Some(_)) if !installation.source_runs.is_empty() => {
            let runs: Vec<String> = installation.source_runs.iter().map(|run| printable(run)).collect();
            format!(
                "Shown: the recordings {} compile together to this very component, which makes their {} calls as recorded.",
                runs.join(", "),
                proof.calls
            )
        }
        (Some(proof), Some(run)) => {
            format!(
                "Shown: recording {} compiles to this very component, which makes its {} calls as recorded.",
                printable(run),
                proof.calls
            )
        }
        _ => "Not shown: no recording is in it.".to_owned(),
    };
    vec![plan.to_owned(), recording]
}

fn what_is_in_it(installation: &Installation) -> Vec<String> {
    let mut lines = vec!["It may:".to_owned()];
    lines.extend(installation.imports.iter().map(|line| format!("  {}  {}", printable(&line.import), printable(&line.allows))));
    if installation.imports.is_empty() {
        lines.push("  compute, and nothing else".to_owned());
    }
    lines.push("It comes with no grant and no secret.".to_owned());
    for tool in &installation.tools {
        lines.push(tools::component_in_words(&serde_json::to_value(tool).expect("a view prints")));
    }
    for (playbook, is_here) in &installation.starts {
        let state = if *is_here { "is here" } else { "is not here, and has a bundle of its own" };
        lines.push(format!("It starts playbook {}, which {state}.", printable(playbook)));
    }
    for evidence in &installation.evidence {
        let signed = evidence.signed_by.as_ref().map_or("not signed".to_owned(), |key| format!("signed by {key}"));
        lines.push(format!("Evidence of job {}: {}, {} entries, {signed}", evidence.job_id, evidence.status, evidence.entries));
    }
    lines
}
