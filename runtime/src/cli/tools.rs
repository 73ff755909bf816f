//! `reprise tools list|upload|show|call|activate`.
//!
//! Where a server has the data directory, the same is asked of it over HTTP.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::{Global, json_of, parse_grant};
use super::exit;
use super::output::{Output, printable, table};
use super::steer::{Door, open, open_as_operator};
use super::steering::At;
use super::upload::read_component;
use crate::contract::{Namespace, ToolId};
use crate::engine::{ToolCall, ToolUpload, ToolView};
use crate::error::Result;
use crate::tools::{Grant, Registry};

/// What is done with tools.
#[derive(Subcommand)]
pub(super) enum ToolsCommand {
    /// Every tool that is here, with what it may do.
    List(At),
    /// Take a component whose tools are to be called; prints what it offers and what it asks for.
    Upload(ToolsUpload),
    /// A tool with its schemas, or a namespace with its versions and what each asks for.
    Show(ToolsShow),
    /// Call a tool once, outside of any job.
    Call(ToolsCall),
    /// Have a version's tools be the ones that are called, although it asks for more than the one before.
    Activate(ToolsActivate),
}

#[derive(Args)]
pub(super) struct ToolsUpload {
    /// The component in binary form.
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// The namespace of its tools [default: the one that the component names].
    #[arg(long, value_name = "NAMESPACE", value_parser = parse_namespace)]
    pub namespace: Option<Namespace>,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct ToolsShow {
    /// A tool, such as fs/read, or a namespace of uploaded tools.
    #[arg(value_name = "TOOL|NAMESPACE")]
    pub what: String,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct ToolsCall {
    /// The tool, such as fs/read.
    #[arg(value_name = "TOOL", value_parser = parse_tool)]
    pub tool: ToolId,
    /// What to call it with: JSON, @FILE, or @- for standard input.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub input: String,
    /// Names the call for good: a repeat with the same key is the same call [default: a new one].
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Let this call reach something, as with `reprise run`. Repeatable.
    #[arg(long = "grant", value_name = "GRANT", value_parser = parse_grant, conflicts_with = "url")]
    pub grants: Vec<Grant>,
    #[command(flatten)]
    pub at: At,
}

#[derive(Args)]
pub(super) struct ToolsActivate {
    /// The namespace.
    #[arg(value_name = "NAMESPACE", value_parser = parse_namespace)]
    pub namespace: Namespace,
    /// The version.
    #[arg(value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
    pub version: u32,
    #[command(flatten)]
    pub at: At,
}

fn parse_tool(text: &str) -> Result<ToolId, String> {
    ToolId::parse(text).map_err(|e| e.message)
}

fn parse_namespace(text: &str) -> Result<Namespace, String> {
    Namespace::parse(text).map_err(|e| e.message)
}

/// Does what was asked.
pub(super) async fn tools(global: &Global, command: ToolsCommand, output: &Output) -> Result<u8> {
    match command {
        ToolsCommand::List(at) => list(global, &at, output).await,
        ToolsCommand::Upload(args) => upload(global, args, output).await,
        ToolsCommand::Show(args) => show(global, args, output).await,
        ToolsCommand::Call(args) => call(global, args, output).await,
        ToolsCommand::Activate(args) => activate(global, args, output).await,
    }
}

fn value(view: impl serde::Serialize) -> Value {
    serde_json::to_value(view).expect("a view prints")
}

/// Without a data directory there are the tools of this program.
async fn list(global: &Global, at: &At, output: &Output) -> Result<u8> {
    let views = |registry: &Registry| json!({"tools": registry.list().iter().map(|info| value(ToolView::of(info))).collect::<Vec<_>>()});
    let list = if at.url.is_none() && !global.is_there()? {
        views(&Registry::builtin())
    } else {
        match open(global, at).await? {
            Door::Here(engine) => views(engine.tools()),
            Door::There(server) => server.get("/v1/tools", &[]).await?,
        }
    };
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    output.show(
        || list.clone(),
        || {
            let rows = list["tools"].as_array().into_iter().flatten();
            table(
                ["tool", "effect", "allows", "what it does"],
                rows.map(|t| [text(&t["id"]), text(&t["effect"]), text(&t["words"]), text(&t["description"])]),
            )
        },
    );
    Ok(exit::OK)
}

async fn upload(global: &Global, args: ToolsUpload, output: &Output) -> Result<u8> {
    let bytes = read_component(args.file).await?;
    let view = match &args.at.url {
        None => value(
            global
                .engine(Vec::new())
                .await
                .map_err(super::remote::served)?
                .upload_tools(ToolUpload { namespace: args.namespace, bytes })
                .await?,
        ),
        Some(_) => match open(global, &args.at).await? {
            Door::There(server) => {
                let query: Vec<(&str, String)> = args.namespace.into_iter().map(|namespace| ("namespace", namespace.to_string())).collect();
                server.post_component("/v1/tools", &query, bytes).await?
            }
            Door::Here(_) => unreachable!("a URL was given"),
        },
    };
    output.show(|| view.clone(), || component_in_words(&view));
    Ok(exit::OK)
}

async fn show(global: &Global, args: ToolsShow, output: &Output) -> Result<u8> {
    let door = open(global, &args.at).await?;
    if let Ok(tool) = ToolId::parse(&args.what) {
        let view = match door {
            Door::Here(engine) => value(engine.tool(&tool)?),
            Door::There(server) => server.get(&format!("/v1/tools/{tool}"), &[]).await?,
        };
        output.show(|| view.clone(), || tool_in_words(&view));
        return Ok(exit::OK);
    }
    if args.what.contains('/') {
        ToolId::parse(&args.what)?;
    }
    let namespace = Namespace::parse(&args.what)?;
    let view = match door {
        Door::Here(engine) => json!({"versions": value(engine.tool_versions(&namespace)?)}),
        Door::There(server) => server.get(&format!("/v1/tool-components/{namespace}"), &[]).await?,
    };
    output.show(
        || view.clone(),
        || {
            let versions = view["versions"].as_array().into_iter().flatten();
            versions.map(component_in_words).collect::<Vec<_>>().join("\n\n")
        },
    );
    Ok(exit::OK)
}

async fn call(global: &Global, args: ToolsCall, output: &Output) -> Result<u8> {
    let input = json_of("--input", &args.input)?;
    let answer = match &args.at.url {
        None => {
            let engine = match args.grants.is_empty() {
                true => global.existing().await,
                false => global.engine(args.grants).await,
            };
            value(engine.map_err(super::remote::served)?.call_tool(ToolCall { tool: args.tool, key: args.key, input }).await?)
        }
        Some(_) => match open(global, &args.at).await? {
            Door::There(server) => {
                let body = json!({"input": input.value(), "key": args.key});
                server.post(&format!("/v1/tools/{}/call", args.tool), None, body).await?
            }
            Door::Here(_) => unreachable!("a URL was given"),
        },
    };
    let ok = answer["ok"].as_bool().unwrap_or_default();
    output.show(|| answer.clone(), || answer_in_words(&answer));
    Ok(if ok { exit::OK } else { exit::JOB_FAILED })
}

async fn activate(global: &Global, args: ToolsActivate, output: &Output) -> Result<u8> {
    let view = match open_as_operator(global, &args.at).await? {
        Door::Here(engine) => value(engine.activate_tools(&args.namespace, args.version).await?),
        Door::There(server) => {
            let path = format!("/v1/tool-components/{}/versions/{}/activate", args.namespace, args.version);
            server.post(&path, None, json!({})).await?
        }
    };
    output.show(|| view.clone(), || component_in_words(&view));
    Ok(exit::OK)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

fn tool_in_words(view: &Value) -> String {
    let warning = view["warning"].as_str().map(|warning| format!("\nWARNING: {}", printable(warning))).unwrap_or_default();
    format!(
        "{}: {}\nEffect: {}. It may {}.{warning}\nInput:  {}\nOutput: {}",
        text(&view["id"]),
        text(&view["description"]),
        text(&view["effect"]),
        text(&view["words"]),
        text(&view["input_schema"]),
        text(&view["output_schema"])
    )
}

pub(super) fn component_in_words(view: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let activation = match view["activation"].as_str().unwrap_or_default() {
        "needs_approval" => "not active: it asks for more than the version that is",
        "inactive" => "not active: another version is",
        _ => "active",
    };
    let mut lines = vec![format!(
        "Tools {}/…, version {}: {}; {} bytes, sha256 {}",
        text(&view["namespace"]),
        view["version"],
        activation,
        view["component_bytes"],
        text(&view["component_digest"])
    )];
    if view["repeated"].as_bool().unwrap_or_default() {
        lines.push("These bytes were uploaded before.".to_owned());
    }
    lines.extend(offer_in_words(view));
    let diff = &view["permission_diff"];
    lines.extend(list(&diff["added"]).iter().map(|words| format!("  + {}", text(words))));
    lines.extend(list(&diff["removed"]).iter().map(|words| format!("  - {}", text(words))));
    if view["activation"] == "needs_approval" {
        lines.push(format!("Next: reprise tools activate {} {}", text(&view["namespace"]), view["version"]));
    }
    lines.join("\n")
}

/// What `reprise inspect` says of a tool component.
pub(super) fn inspection_in_words(view: &Value) -> String {
    let namespace = match &view["namespace"] {
        Value::Null => "a namespace that whoever uploads it names".to_owned(),
        named => format!("the namespace {}", text(named)),
    };
    let mut lines =
        vec![format!("A tool component for {namespace}; {} bytes, sha256 {}", view["component_bytes"], text(&view["component_digest"]))];
    lines.extend(offer_in_words(view));
    lines.push("Next: reprise tools upload FILE.wasm".to_owned());
    lines.join("\n")
}

/// What it offers, what it asks for, and what it leaves out.
fn offer_in_words(view: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let tool = |tool: &Value| format!("  {} ({})  {}", text(&tool["id"]), text(&tool["effect"]), text(&tool["description"]));
    let mut lines: Vec<String> = list(&view["tools"]).iter().map(tool).collect();
    match list(&view["asks"]) {
        asks if asks.is_empty() => lines.push("It asks for nothing: it can only compute.".to_owned()),
        asks => {
            lines.push("It asks to, and gets none of it unless a grant is given to it:".to_owned());
            lines.extend(asks.iter().map(|ask| format!("  {}", text(&ask["words"]))));
        }
    }
    let left = |left: &Value| format!("Left out: {} {}", text(&left["path"]), text(&left["message"]));
    lines.extend(list(&view["left_out"]).iter().map(left));
    lines
}

fn answer_in_words(answer: &Value) -> String {
    let usage = &answer["usage"];
    let took = format!(
        "({} us, {} fuel, {} bytes of memory, {} bytes out, {} bytes printed)",
        usage["wall_us"], usage["fuel"], usage["memory_bytes"], usage["output_bytes"], usage["log_bytes"]
    );
    let said = match answer["ok"].as_bool().unwrap_or_default() {
        true => text(&answer["output"]),
        false => format!("{}: {}", text(&answer["error"]["kind"]), text(&answer["error"]["message"])),
    };
    let log: Vec<String> = answer["log"].as_str().unwrap_or_default().lines().map(|line| format!("  | {}", printable(line))).collect();
    [vec![said], log, vec![took]].concat().join("\n")
}
