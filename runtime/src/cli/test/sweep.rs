//! The sweep: the same job in a fresh copy of the world for every crash point, killed there and taken up again.
//!
//! Its job: find the points one after the other until the job ends before it is killed, and judge what each world came to.
//! It does not know how that is shown. What must stay true: a point passes only if the job came to the same, be it after a
//! person settled what only a person can know.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Subject;
use super::ended::{self, Ended, Said};
use super::world::World;
use crate::error::{Code, Error, Result};
use crate::store::{CrashPoint, Moment};
use crate::{blocking, limits};

/// One point, and what became of the job that was killed there.
pub(super) struct Outcome {
    pub point: CrashPoint,
    /// The last entry on disk, in words.
    pub found: Option<String>,
    pub verdict: Verdict,
    pub time: Duration,
}

/// What a killed job came to.
pub(super) enum Verdict {
    /// The same as undisturbed.
    Same,
    /// The same, after the tool was asked what had become of its call.
    Reconciled,
    /// It stood as uncertain, and came to the same once someone said this.
    Settled(Said),
    /// Something else.
    Different(Vec<String>),
}

impl Verdict {
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Verdict::Different(_))
    }
}

/// Kills the job at every point in turn. `told` hears of each.
///
/// # Errors
/// Where a world cannot be made or a process not be started; `too_large` where there are too many points.
pub(super) async fn sweep(
    template: &World,
    subject: &Subject,
    undisturbed: &Ended,
    home: &Path,
    mut told: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for flush in 1..=limits::CRASH_POINTS_MAX {
        for moment in [Moment::Before, Moment::After] {
            let Some(outcome) = at(CrashPoint { moment, flush }, template, subject, undisturbed, home).await? else {
                return Ok(outcomes);
            };
            told(&outcome);
            outcomes.push(outcome);
        }
    }
    let most = limits::CRASH_POINTS_MAX;
    Err(Error::new(Code::TooLarge, format!("the job flushes more than {most} times; test it with a smaller input")))
}

/// None where the job ends before it comes to this point.
async fn at(point: CrashPoint, template: &World, subject: &Subject, undisturbed: &Ended, home: &Path) -> Result<Option<Outcome>> {
    let begun = Instant::now();
    let world = copy(template, home, "killed").await?;
    if !is_killed(&world, subject, point).await? {
        world.remove();
        return Ok(None);
    }
    let ended = ended::run_on(&world, subject).await?;
    let verdict = match ended.differences(undisturbed) {
        differences if ended.uncertain.is_empty() => match differences.is_empty() {
            false => Verdict::Different(differences),
            true if ended.reconciled > 0 => Verdict::Reconciled,
            true => Verdict::Same,
        },
        _ => settled(point, &world, subject, &ended, undisturbed, home).await?,
    };
    world.remove();
    Ok(Some(Outcome { point, found: ended.found, verdict, time: begun.elapsed() }))
}

/// A person looks whether the call happened, and says so. Just before a flush it mostly has, just after one it mostly has not;
/// where that leads elsewhere it was the other way round.
async fn settled(point: CrashPoint, world: &World, subject: &Subject, stood: &Ended, undisturbed: &Ended, home: &Path) -> Result<Verdict> {
    let likely = if point.moment == Moment::Before { [Said::Happened, Said::Retry] } else { [Said::Retry, Said::Happened] };
    let mut differences = Vec::new();
    for said in likely {
        let settled = copy(world, home, "settled").await?;
        let ended = ended::settle(&settled, subject, &stood.uncertain, said, undisturbed).await?;
        settled.remove();
        let found = ended.differences(undisturbed);
        if found.is_empty() {
            return Ok(Verdict::Settled(said));
        }
        let words = if said == Said::Happened { "it happened" } else { "it may be made again" };
        differences.extend(found.into_iter().map(|difference| format!("settled with \"{words}\": {difference}")));
    }
    Ok(Verdict::Different(differences))
}

async fn copy(world: &World, home: &Path, name: &str) -> Result<World> {
    let (from, to) = (world.clone(), home.join(name));
    blocking::run(move || from.copy_to(&to)).await
}

/// Runs the job in a process that dies at the point; false where it ended by itself.
async fn is_killed(world: &World, subject: &Subject, point: CrashPoint) -> Result<bool> {
    let cannot = |e: std::io::Error| Error::new(Code::InternalError, format!("cannot run a child process: {e}"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut child = tokio::process::Command::new(program);
    child.args(["--json", "--die-at", &point.to_string(), "tested-job"]).arg(world.dir()).arg(subject.playbook_id().as_str());
    child.env_remove("REPRISE_LOG").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = child.spawn().map_err(cannot)?;
    let mut input = child.stdin.take().expect("it was piped");
    // It may be dead before it has read everything.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut input, subject.input.as_str().as_bytes()).await;
    drop(input);
    let ended = child.wait_with_output().await.map_err(cannot)?;
    match ended.status.code() {
        // Ended by a signal.
        None => Ok(true),
        Some(0) => Ok(false),
        Some(code) => {
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            Err(Error::new(Code::InternalError, format!("the child process that was to die at {point} ended with {code}: {said}")))
        }
    }
}
