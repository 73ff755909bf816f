//! `reprise serve`.

use serde_json::json;

use super::args::{Global, Serve};
use super::exit;
use super::interrupt::Interrupt;
use super::output::Output;
use crate::error::{Code, Error, Result};
use crate::http;

pub(super) async fn serve(global: &Global, args: Serve, output: &Output) -> Result<u8> {
    if !args.listen.ip().is_loopback() {
        let why = format!(
            "{} is not an address of this machine alone, and this version has no authentication; use 127.0.0.1, and a proxy that authenticates",
            args.listen
        );
        return Err(Error::new(Code::NotSupported, why));
    }
    let engine = global.serving(args.grants).await?;
    let cannot = |e| Error::new(Code::CannotListen, format!("cannot listen on {}: {e}", args.listen));
    let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    engine.note(&format!("serving http://{address}, which answers the same questions"))?;
    let interrupt = Interrupt::listen()?;
    let resumed = engine.resume_all().await?;
    let grants: Vec<String> = engine.granted()?.iter().map(crate::tools::Grant::words).collect();
    output.show(
        || json!({"listening": format!("http://{address}"), "data": engine.data_dir(), "resumed_jobs": resumed, "grants": grants}),
        || {
            let granted = if grants.is_empty() {
                "  nothing (see --grant)".to_owned()
            } else {
                grants.iter().map(|g| format!("  {g}")).collect::<Vec<_>>().join("\n")
            };
            let resumed = if resumed == 0 { String::new() } else { format!("\nResumed {}.", super::output::count(resumed, "job")) };
            format!(
                "Listening on http://{address}, data in {}.{resumed}\nJobs may reach:\n{granted}\nStop with Ctrl-C.",
                engine.data_dir().display()
            )
        },
    );
    http::serve(listener, engine.clone(), interrupt.asked())
        .await
        .map_err(|e| Error::new(Code::InternalError, format!("the server ended: {e}")))?;
    engine.shut_down().await;
    Ok(exit::OK)
}
