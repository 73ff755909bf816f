//! `reprise grants`, `reprise playbooks activate`: what all jobs may reach, which version of a playbook runs, and who says so:
//! an operator.

use serde_json::{Value, json};

use super::args::{Global, playbook_and_version};
use super::exit;
use super::granting::{GrantAdd, GrantRemove, GrantsList, PlaybookActivate};
use super::output::{Output, printable, table};
use super::steer::{Door, open_as_operator};
use crate::blocking;
use crate::engine::{GrantView, Granted};
use crate::error::{Error, Result};
use crate::tools::grants::Grant;

pub(super) async fn list(global: &Global, args: GrantsList, output: &Output) -> Result<u8> {
    let list = match open_as_operator(global, &args.at).await? {
        Door::There(server) => server.get("/v1/grants", &[]).await?,
        Door::Here(engine) => {
            let granted = blocking::run(move || engine.grants()).await?;
            json!({"grants": granted.iter().map(|granted| GrantView::of(granted, true)).collect::<Vec<_>>()})
        }
    };
    output.show(
        || list.clone(),
        || {
            let grants = list["grants"].as_array().map(Vec::as_slice).unwrap_or_default();
            if grants.is_empty() {
                return "No job may reach anything. `reprise grants add` grants something to all jobs.".to_owned();
            }
            let text = |grant: &Value, name: &str| grant[name].as_str().unwrap_or_default().to_owned();
            let rows = grants.iter().map(|grant| {
                let problem = grant["problem"].as_str().map(|problem| format!("\nCANNOT BE USED: {problem}")).unwrap_or_default();
                [text(grant, "name"), text(grant, "kind"), format!("{}{problem}", words(grant)), text(grant, "source")]
            });
            table(["grant", "kind", "lets jobs", "from"], rows)
        },
    );
    Ok(exit::OK)
}

pub(super) async fn add(global: &Global, args: GrantAdd, output: &Output) -> Result<u8> {
    let grant = match args.name {
        Some(name) => args.grant.named(name),
        None => args.grant,
    };
    let added = match open_as_operator(global, &args.at).await? {
        Door::There(server) => server.put(&path(grant.name().as_str()), &body(&grant)).await?,
        Door::Here(engine) => shown(&engine.keep_grant(grant).await?.0),
    };
    output.show(
        || added.clone(),
        || format!("All jobs may now {}.\nTake it back with: reprise grants remove {}", words(&added), name(&added)),
    );
    Ok(exit::OK)
}

pub(super) async fn remove(global: &Global, args: GrantRemove, output: &Output) -> Result<u8> {
    let gone = match open_as_operator(global, &args.at).await? {
        Door::There(server) => server.delete(&path(args.name.as_str())).await?,
        Door::Here(engine) => shown(&engine.remove_grant(&args.name).await?),
    };
    output.show(|| gone.clone(), || format!("{} is granted no more: {}", name(&gone), words(&gone)));
    Ok(exit::OK)
}

pub(super) async fn activate(global: &Global, args: PlaybookActivate, output: &Output) -> Result<u8> {
    let (id, version) = playbook_and_version(&args.version)?;
    let version =
        version.ok_or_else(|| Error::invalid("PLAYBOOK@VERSION", format!("{:?} names no version; write {id}@2", args.version)))?;
    let space = global.space()?;
    let now = match open_as_operator(global, &args.at).await? {
        Door::There(server) => {
            let body = args.word.note.map_or_else(|| json!({}), |note| json!({"note": note}));
            server.post(&format!("/v1/playbooks/{id}/versions/{version}/activate"), args.word.by.as_deref(), body).await?
        }
        Door::Here(engine) => {
            let version = engine.activate_playbook(&space, &id, version, args.word.by, args.word.note).await?;
            let standing = engine.standing(&space, &version).await?;
            let mut now = json!({"playbook_id": id, "version": version.version, "component_digest": version.component});
            now.as_object_mut().expect("it is one").extend(json!(standing).as_object().cloned().unwrap_or_default());
            now
        }
    };
    output.show(
        || now.clone(),
        || {
            let may: Vec<String> = now["asks"].as_array().into_iter().flatten().map(|ask| format!("\n  {}", text(&ask["words"]))).collect();
            let may = if may.is_empty() { "\n  nothing".to_owned() } else { may.concat() };
            let number = now["version"].as_u64().unwrap_or_default();
            format!(
                "Version {version} of playbook {id} is active: it runs where no version is named, as version {number}. It asks to:{may}"
            )
        },
    );
    Ok(exit::OK)
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or_default())
}

pub(super) fn path(name: &str) -> String {
    format!("/v1/grants/{name}")
}

/// As the server takes it: the name stands in the path.
pub(super) fn body(grant: &Grant) -> Value {
    let mut body = json!(grant);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("name");
    }
    body
}

pub(super) fn shown(granted: &Granted) -> Value {
    json!(GrantView::of(granted, true))
}

fn name(grant: &Value) -> String {
    printable(grant["name"].as_str().unwrap_or_default())
}

/// With the host's directories where they are shown, which is to an operator.
pub(super) fn words(view: &Value) -> String {
    let grant = serde_json::from_value::<Grant>(view["grant"].clone()).ok();
    let words = grant.map_or_else(|| view["words"].as_str().unwrap_or_default().to_owned(), |grant| grant.what_and_for_whom());
    printable(&words)
}
