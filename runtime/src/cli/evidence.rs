//! `reprise verify`, and `reprise jobs evidence|replay|fork|why`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::args::{Global, Verify};
use super::exit;
use super::output::{Output, printable};
use super::steering::{JobArg, JobEvidence, JobFork, JobWhy};
use crate::engine::verify_evidence;
use crate::error::{Code, Error, Result};
use crate::evidence::{Fork, ForkEnding, PublicKey, RepairPacket, Replay, Signer, Verdict, Verified, Why, Would};
use crate::json::Json;
use crate::{blocking, limits};

pub(super) async fn export(global: &Global, args: JobEvidence, output: &Output) -> Result<u8> {
    let signer = args.signing_key.as_deref().map(Signer::read).transpose()?;
    let engine = global.existing().await?;
    let bundle = engine.evidence(&global.space()?, &args.job.job, signer.as_ref()).await?;
    let manifest = bundle.manifest.clone();
    let bytes = blocking::run(move || bundle.to_bytes()).await;
    let Some(path) = args.out else {
        let text = String::from_utf8(bytes).map_err(|_| Error::new(Code::InternalError, "a bundle is text"))?;
        output.exactly(text.trim_end_matches('\n'));
        return Ok(exit::OK);
    };
    let length = bytes.len();
    let refused = |e: std::io::Error| Error::new(Code::StoreUnavailable, format!("{}: {e}", path.display()));
    std::fs::write(&path, bytes).map_err(refused)?;
    output.show(
        || json!({"job_id": manifest.job_id, "file": path, "bytes": length, "entries": manifest.entries, "last_hash": manifest.last_hash, "signed_by": manifest.signed_by}),
        || {
            let signed = manifest.signed_by.as_ref().map_or("not signed".to_owned(), |key| format!("signed by {key}"));
            format!("{}: {} entries of job {}, {signed}", path.display(), manifest.entries, manifest.job_id)
        },
    );
    Ok(exit::OK)
}

pub(super) async fn packet(global: &Global, args: JobArg, output: &Output) -> Result<u8> {
    let packet = global.existing().await?.repair_packet(&global.space()?, &args.job).await?;
    output.show(|| packet.to_json(), || packet_in_words(&packet));
    Ok(exit::OK)
}

fn packet_in_words(packet: &RepairPacket) -> String {
    let failing = &packet.failing;
    let step = |step: &Option<String>| step.as_deref().map_or("?".to_owned(), printable);
    let mut text = format!("Job {} of {} version {} is {}\n", packet.job_id, packet.playbook_id, packet.version, packet.status);
    if let Some(goal) = &packet.goal {
        let _ = writeln!(text, "  goal: {}", printable(goal));
    }
    let tool = failing.tool.as_ref().map(|tool| format!(", which calls {tool}")).unwrap_or_default();
    let _ = writeln!(text, "  failing: {}{tool}", step(&failing.step));
    let _ = writeln!(text, "    {}", printable(&failing.why));
    if let Some(input) = &failing.input {
        let _ = writeln!(text, "    input: {}", printable(input.as_str()));
    }
    for done in &packet.done {
        let _ = writeln!(text, "  done: {} {}", step(&done.step), done.tool);
    }
    for left in &packet.remaining {
        let _ = writeln!(text, "  not reached: {} {} {}", printable(&left.step), left.tool, printable(&left.input));
    }
    text.truncate(text.trim_end().len());
    text
}

pub(super) async fn verify(args: Verify, output: &Output) -> Result<u8> {
    let wrong = || Error::invalid("--public-key", "not an Ed25519 key of 64 hex digits");
    let key = args.public_key.as_deref().map(|text| PublicKey::parse(text).ok_or_else(wrong)).transpose()?;
    let place = args.file.display().to_string();
    let file = args.file;
    let bytes = blocking::run(move || {
        let length = std::fs::metadata(&file)?.len();
        if length > limits::EVIDENCE_BYTES_MAX as u64 {
            return Ok(Err(length));
        }
        std::fs::read(&file).map(Ok)
    });
    let bytes = bytes.await.map_err(|e: std::io::Error| Error::new(Code::FileNotFound, format!("{place}: {e}")))?;
    let bytes = bytes.map_err(|n| Error::new(Code::TooLarge, format!("{place} has {n} bytes; at most {}", limits::EVIDENCE_BYTES_MAX)))?;
    let verified = verify_evidence(bytes, key).await.map_err(|e| e.at(&place))?;
    output.show(|| verified.to_json(), || verified_in_words(&verified));
    Ok(exit::OK)
}

pub(super) fn verified_in_words(verified: &Verified) -> String {
    let manifest = &verified.manifest;
    let mut text = format!(
        "Verified: job {} is {}, {} entries, last hash {}\n",
        manifest.job_id, manifest.status, manifest.entries, manifest.last_hash
    );
    let _ = writeln!(text, "  component {}, playbook {}@{}", manifest.component, manifest.playbook_id, manifest.playbook_version);
    let _ = match verified.plan_is_component {
        None => writeln!(text, "  it carries no plan"),
        Some(true) => writeln!(text, "  its plan compiles to exactly this component"),
        Some(false) => {
            writeln!(text, "  its plan does not compile to this component here; {} made the bundle", printable(&manifest.made_by))
        }
    };
    let _ = match &manifest.signed_by {
        None => writeln!(text, "  not signed: it holds together, and who made it is not shown"),
        Some(key) => writeln!(text, "  signed by {key}"),
    };
    for approval in &manifest.approvals {
        let said = if approval.approved { "approved" } else { "rejected" };
        let _ = writeln!(text, "  entry {}: {:?} {said} by {:?}, who saw {}", approval.seq, approval.title, approval.by, approval.digest);
    }
    for open in &verified.open {
        let why = if open.uncertain { "nobody has said what became of it" } else { "it has no answer" };
        let _ = writeln!(text, "  entry {}: call {} of {} is open: {why}", open.seq, open.call, open.tool);
    }
    text.trim_end().to_owned()
}

pub(super) async fn replay(global: &Global, args: JobArg, output: &Output) -> Result<u8> {
    let replay = global.existing().await?.replay(&global.space()?, &args.job).await?;
    output.show(|| replay.to_json(), || replay_in_words(&replay));
    Ok(if replay.agrees() { exit::OK } else { exit::CONFLICT })
}

fn replay_in_words(replay: &Replay) -> String {
    let begin = format!(
        "Replayed job {} ({}): {} questions answered from its journal, no tool called",
        replay.job_id, replay.status, replay.answered
    );
    let end = match &replay.verdict {
        Verdict::Same => "It comes to the same ending.".to_owned(),
        Verdict::Open(would) => format!("The journal goes up to entry {}; next would come {}.", replay.entries, would_in_words(would)),
        Verdict::EndedOutside(would) => format!("It was ended from outside while it stood at {}.", would_in_words(would)),
        Verdict::Diverged { seq, expected, found } => {
            format!("IT DIFFERS at entry {seq}: the journal has {}, the playbook came with {}", printable(expected), printable(found))
        }
        Verdict::OtherEnding { expected, found } => {
            format!("IT DIFFERS at the end: the journal has {}, the playbook came to {}", printable(expected), printable(found))
        }
    };
    format!("{begin}\n{end}")
}

fn would_in_words(would: &Would) -> String {
    let step = would.step.as_ref().map(|step| format!(" at step {step:?}")).unwrap_or_default();
    let input = would.input.as_ref().map(|input| format!(" with {}", printable(input.as_str()))).unwrap_or_default();
    format!("{}{input}{step}", printable(&would.what))
}

pub(super) async fn fork(global: &Global, args: JobFork, output: &Output) -> Result<u8> {
    let answer = Json::parse(args.answer.as_bytes()).map_err(|e| e.at("--answer"))?;
    let fork = global.existing().await?.fork(&global.space()?, &args.job.job, args.at, &answer).await?;
    output.show(|| fork.to_json(), || fork_in_words(&fork));
    Ok(exit::OK)
}

fn fork_in_words(fork: &Fork) -> String {
    let mut text = format!("What if entry {} of job {} had said so (nothing was done):\n", fork.at, fork.job_id);
    for asked in &fork.asked {
        let from = asked.recorded_at.map_or("given the exchanged answer".to_owned(), |seq| format!("answered as entry {seq} was"));
        let _ = writeln!(text, "  {}: {from}", printable(&asked.what));
    }
    let _ = match &fork.ending {
        ForkEnding::Output(output) => writeln!(text, "It would return {}", printable(output.as_str())),
        ForkEnding::Failure(failure) => writeln!(text, "It would fail: {}", printable(&failure.to_string())),
        ForkEnding::Would(would) => writeln!(text, "It would go on with {}, which is not on record", would_in_words(would)),
        ForkEnding::Diverged(how) => writeln!(text, "It does not come so far: {}", printable(how)),
    };
    text.trim_end().to_owned()
}

pub(super) async fn why(global: &Global, args: JobWhy, output: &Output) -> Result<u8> {
    let why = global.existing().await?.why(&global.space()?, &args.job.job, args.seq).await?;
    output.show(|| why.to_json(), || why_in_words(&why));
    Ok(exit::OK)
}

fn why_in_words(why: &Why) -> String {
    let mut text = format!("Entry {}, {}: {}\n", why.entry["seq"], why.entry["kind"].as_str().unwrap_or_default(), why.line);
    let _ = writeln!(text, "  by        {}", printable(&why.by));
    if let Some(step) = &why.step {
        let _ = writeln!(text, "  step      {step:?}");
    }
    if let Some(call) = &why.call {
        let _ = writeln!(
            text,
            "  call      {} {} with key {}, try {}",
            call["call"],
            call["tool"].as_str().unwrap_or_default(),
            call["key"].as_str().unwrap_or_default(),
            why.tries
        );
        let input = call.get("input").or_else(|| call.get("input_blob")).map(Value::to_string).unwrap_or_default();
        let _ = writeln!(text, "  input     {}", printable(&input));
    }
    for origin in &why.input_from {
        let entry = origin.seq.map(|seq| format!(" (entry {seq})")).unwrap_or_default();
        let _ =
            writeln!(text, "    {} from {}{entry}", if origin.at.is_empty() { "all of it" } else { &origin.at }, printable(&origin.from));
    }
    let _ = writeln!(text, "  attempt   {} of the job, taken up {} times so far", why.attempt, why.epoch);
    let _ = match &why.approval {
        None => writeln!(text, "  approval  none stands before it"),
        Some(approval) => writeln!(text, "  approval  {}", printable(&approval.to_string())),
    };
    for grant in &why.grants {
        let _ = writeln!(text, "  grant     {}", printable(&grant.to_string()));
    }
    for entry in &why.came_to {
        let _ = writeln!(text, "  came to   entry {}, {}", entry["seq"], entry["kind"].as_str().unwrap_or_default());
    }
    text.trim_end().to_owned()
}
