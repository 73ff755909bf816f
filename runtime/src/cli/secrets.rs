//! `reprise secrets`: values that jobs use and nobody sees.
//!
//! A value never stands among the arguments, where every process of the machine could read it. The rule that must stay true: nothing
//! that is printed holds one.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::args::Global;
use super::exit;
use super::granting::{SecretRemove, SecretSet, SecretsList};
use super::interrupt::Interrupt;
use super::output::{Output, printable, table};
use super::remote::served;
use super::steer::{Door, open_as_operator};
use super::steering::At;
use crate::blocking;
use crate::error::{Code, Error, Result};
use crate::limits;
use crate::secrets::SecretText;

/// As everywhere for operators; but secrets that cannot be opened can be removed.
async fn open(global: &Global, at: &At) -> Result<Door> {
    match at.url {
        Some(_) => open_as_operator(global, at).await,
        None => global.keeping_secrets().await.map(Door::Here).map_err(served),
    }
}

pub(super) async fn list(global: &Global, args: SecretsList, output: &Output) -> Result<u8> {
    let list = match open(global, &args.at).await? {
        Door::There(server) => server.get("/v1/secrets", &[]).await?,
        Door::Here(engine) => json!({"secrets": blocking::run(move || engine.secrets()).await?}),
    };
    output.show(
        || list.clone(),
        || {
            let secrets = list["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
            if secrets.is_empty() {
                return "No secret is set. `reprise secrets set NAME` sets one.".to_owned();
            }
            let text = |secret: &Value, name: &str| printable(secret[name].as_str().unwrap_or_default());
            let rows = secrets.iter().map(|secret| {
                [
                    text(secret, "name"),
                    secret["bytes"].to_string(),
                    text(secret, "created_at"),
                    text(secret, "updated_at"),
                    grants_of(secret),
                ]
            });
            table(["secret", "bytes", "set first", "set last", "granted by"], rows)
        },
    );
    Ok(exit::OK)
}

pub(super) async fn set(global: &Global, args: SecretSet, output: &Output) -> Result<u8> {
    let value = match &args.from_env {
        Some(variable) => of_environment(variable)?,
        None if io::stdin().is_terminal() => asked(args.name.as_str()).await?,
        None => of_input()?,
    };
    let secret = match open(global, &args.at).await? {
        Door::There(server) => server.put(&path(args.name.as_str()), &json!({"value": value.as_str()})).await?,
        Door::Here(engine) => json!(engine.set_secret(&args.name, SecretText::new(value.to_string())).await?.0),
    };
    let name = &args.name;
    output.show(
        || secret.clone(),
        || {
            let granted = match grants_of(&secret) {
                none if none.is_empty() => {
                    format!("No grant lets it go anywhere. One does with: reprise grants add secret:{name}@GRANT=header:authorization")
                }
                some => format!("Granted by {some}."),
            };
            format!("The secret {name} is set, {} bytes. Jobs write {{{{secret:{name}}}}} for it.\n{granted}", secret["bytes"])
        },
    );
    Ok(exit::OK)
}

pub(super) async fn remove(global: &Global, args: SecretRemove, output: &Output) -> Result<u8> {
    let gone = match open(global, &args.at).await? {
        Door::There(server) => server.delete(&path(args.name.as_str())).await?,
        Door::Here(engine) => json!(engine.remove_secret(&args.name).await?),
    };
    output.show(
        || gone.clone(),
        || {
            let still = Some(grants_of(&gone)).filter(|grants| !grants.is_empty());
            let still = still.map(|grants| format!("\nStill named by {grants}, which gives nothing now.")).unwrap_or_default();
            format!("The secret {} is removed.{still}", args.name)
        },
    );
    Ok(exit::OK)
}

fn path(name: &str) -> String {
    format!("/v1/secrets/{name}")
}

fn grants_of(secret: &Value) -> String {
    let names: Vec<&str> = secret["grants"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    printable(&names.join(", "))
}

fn of_environment(variable: &str) -> Result<Zeroizing<String>> {
    let why = match std::env::var(variable) {
        Ok(value) => return Ok(Zeroizing::new(value)),
        Err(std::env::VarError::NotPresent) => "is not set",
        Err(std::env::VarError::NotUnicode(_)) => "is not UTF-8 text",
    };
    Err(Error::invalid("--from-env", format!("the variable {variable} {why}")))
}

/// All of standard input, without the line feed that `echo` and editors put at its end.
fn of_input() -> Result<Zeroizing<String>> {
    let unreadable = |e: io::Error| Error::new(Code::FileNotFound, format!("standard input: {e}"));
    // What is longer than any secret is refused later, with its reason.
    let most = limits::SECRET_BYTES_MAX as u64 + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limits::SECRET_BYTES_MAX + 3));
    io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|e| {
        e.into_bytes().zeroize();
        Error::invalid("standard input", "is not UTF-8 text; encode it, in base64 for one")
    })?;
    Ok(without_line_end(Zeroizing::new(text)))
}

fn without_line_end(mut text: Zeroizing<String>) -> Zeroizing<String> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// One line that a person types unseen.
async fn asked(name: &str) -> Result<Zeroizing<String>> {
    let interrupt = Interrupt::listen()?;
    let silence =
        Silence::begin().map_err(|e| Error::new(Code::InternalError, format!("the terminal cannot be kept from showing it: {e}")))?;
    // To where a person looks, whatever becomes of standard output.
    let _ = write!(io::stderr(), "Value of the secret {name} (not shown): ").and_then(|()| io::stderr().flush());
    let (tell, told) = tokio::sync::oneshot::channel();
    // Nobody waits for this thread: it sits in a read that ends when a person says so.
    std::thread::spawn(move || {
        let mut line = Zeroizing::new(String::new());
        let read = io::stdin().read_line(&mut line).map(|_| line);
        let _ = tell.send(read);
    });
    let heard = tokio::select! {
        heard = told => heard,
        () = interrupt.asked() => {
            // The line with the question ends here.
            let _ = writeln!(io::stderr());
            return Err(Error::invalid("standard input", "interrupted; nothing was set"));
        }
    };
    drop(silence);
    let line = heard.map_err(|_| Error::new(Code::InternalError, "the terminal was not read to the end"))?;
    let line = line.map_err(|e| Error::new(Code::FileNotFound, format!("the terminal: {e}")))?;
    Ok(without_line_end(line))
}

/// The terminal shows nothing of what is typed, until this is dropped.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The line feed at the end is shown, so that what is printed next begins a line of its own.
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nobody to tell: the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
