//! `reprise grants approve`: what a run needed and no more, or what stands in a file, granted by an operator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::Global;
use super::exit;
use super::granting::GrantApprove;
use super::grants::{body, path, shown, words};
use super::output::{Output, printable};
use super::steer::{Door, open_as_operator};
use crate::blocking;
use crate::compiler::Options;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::ids::RunId;
use crate::tools::grants::Grant;

pub(super) async fn approve(global: &Global, args: GrantApprove, output: &Output) -> Result<u8> {
    let homes = args.roots.iter().map(home).collect::<Result<BTreeMap<String, PathBuf>>>()?;
    let door = open_as_operator(global, &args.at).await?;
    let file = PathBuf::from(&args.what);
    let proposals = if file.is_file() {
        blocking::run(move || of_file(&file)).await?
    } else {
        let run = RunId::parse(&args.what)?;
        match &door {
            Door::There(server) => {
                let answer = server.post("/v1/grant-proposals", None, json!({"run_id": run, "directories": homes})).await?;
                answer["proposals"].as_array().cloned().unwrap_or_default()
            }
            Door::Here(engine) => {
                let proposed = engine.propose_for_run(&global.space()?, &run, Options::default(), homes).await?;
                proposed.iter().map(|proposal| json!(proposal.view(true))).collect()
            }
        }
    };
    if args.dry_run {
        output.show(|| json!({"granted": [], "proposals": proposals}), || tomls(&proposals));
        return Ok(exit::OK);
    }
    complete(&proposals)?;
    let mut granted = Vec::new();
    for proposal in proposals.iter().filter(|proposal| proposal["standing"] != "same") {
        let name = proposal["name"].as_str().unwrap_or_default();
        granted.push(match &door {
            Door::There(server) => server.put(&path(name), &proposal["grant"]).await?,
            Door::Here(engine) => shown(&engine.keep_grant(grant(name, &proposal["grant"])?).await?.0),
        });
    }
    output.show(
        || json!({"granted": granted, "proposals": proposals}),
        || {
            if granted.is_empty() {
                return "Nothing is to be granted: all of it is granted already.".to_owned();
            }
            let line = |view: &Value| format!("  {}: {}", printable(view["name"].as_str().unwrap_or_default()), words(view));
            format!("All jobs may now:\n{}", granted.iter().map(line).collect::<Vec<_>>().join("\n"))
        },
    );
    Ok(exit::OK)
}

/// A directory is meant from where the command is given.
fn home((name, directory): &(String, String)) -> Result<(String, PathBuf)> {
    match Path::new(directory).canonicalize() {
        Ok(path) if path.is_dir() => Ok((name.clone(), path)),
        _ => Err(Error::invalid("--root", format!("{directory:?} is not a directory"))),
    }
}

/// The grants of a file, as proposals. Anything else in it would be left out unseen.
fn of_file(file: &Path) -> Result<Vec<Value>> {
    let config = Config::read(file)?;
    if config != (Config { grants: config.grants.clone(), ..Config::empty() }) {
        let why = format!("{} holds more than [[grant]]; what else stands there belongs into reprise.toml", file.display());
        return Err(Error::new(Code::InvalidConfiguration, why));
    }
    let proposal = |grant: &Grant| {
        let toml = toml::to_string(&json!({ "grant": [grant] })).expect("text, lists and flags have a form in TOML");
        json!({"name": grant.name(), "kind": grant.kind(), "words": grant.inside_words(), "standing": "new", "grant": body(grant), "toml": toml})
    };
    Ok(config.grants.iter().map(proposal).collect())
}

/// All or nothing, as far as that can be said beforehand.
fn complete(proposals: &[Value]) -> Result<()> {
    let missing = |proposal: &Value| {
        let what = proposal["missing"].as_str()?;
        Some(format!("{}: {what}", proposal["name"].as_str().unwrap_or_default()))
    };
    let missing: Vec<String> = proposals.iter().filter_map(missing).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::new(Code::InvalidConfiguration, format!("nothing was granted; something is not known: {}", missing.join("; "))))
        }
    }
}

fn grant(name: &str, body: &Value) -> Result<Grant> {
    let mut body = body.clone();
    body["name"] = name.into();
    serde_json::from_value(body).map_err(|e| Error::new(Code::InvalidConfiguration, format!("the grant {name:?}: {e}")))
}

fn tomls(proposals: &[Value]) -> String {
    if proposals.is_empty() {
        return "It needs no grant.".to_owned();
    }
    let toml = |proposal: &Value| {
        let note = proposal["note"].as_str().map(|note| format!("# {note}\n")).unwrap_or_default();
        printable(&format!("{note}{}", proposal["toml"].as_str().unwrap_or_default()))
    };
    proposals.iter().map(toml).collect::<Vec<_>>().join("\n")
}
