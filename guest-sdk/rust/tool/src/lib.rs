//! A worked tool: a ledger, kept as one CSV file in the directory that an operator grants under the name `books`.
//!
//! `ledger/add` changes the world and must not do it twice, `ledger/balance` looks.

mod csv;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use reprise_guest::{ErrorKind, JsonSchema, Reconciliation, ToolError, tool};
use serde::{Deserialize, Serialize};

/// Where the ledger is: the grant is seen as a directory of its name.
const BOOKS: &str = "/books";

reprise_guest::export_tools!(add, balance);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Whose account: a name without line breaks.
    account: String,
    /// The amount in cents; negative for what is taken out.
    cents: i64,
    /// What for.
    #[serde(default)]
    note: String,
}

#[derive(Serialize, JsonSchema, Debug, PartialEq)]
struct Added {
    /// The line of the file that holds the entry, counted from 1.
    line: usize,
}

/// Adds an entry to the ledger.
#[tool(name = "ledger/add", effect = once, reconcile = was_added)]
fn add(entry: Entry, key: &str) -> Result<Added, ToolError> {
    add_in(Path::new(BOOKS), &entry, key)
}

/// The call's key stands in the line that it wrote, so the file knows what became of a call that nobody heard the end of.
fn was_added(_: Entry, key: &str) -> Reconciliation<Added> {
    was_added_in(Path::new(BOOKS), key)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Account {
    /// Whose account.
    account: String,
}

#[derive(Serialize, JsonSchema, Debug, PartialEq)]
struct Balance {
    /// The sum of its entries, in cents.
    cents: i64,
    /// How many entries it has.
    entries: usize,
}

/// Sums up an account of the ledger. One without entries has the balance 0.
#[tool(name = "ledger/balance", effect = read)]
fn balance(input: Account) -> Result<Balance, ToolError> {
    balance_in(Path::new(BOOKS), &input.account)
}

fn add_in(books: &Path, entry: &Entry, key: &str) -> Result<Added, ToolError> {
    if entry.account.is_empty() || entry.account.contains(['\n', '\r']) {
        return Err(ToolError::new(ErrorKind::InvalidInput, "an account has a name, on one line"));
    }
    let line = lines(books)?.len() + 1;
    let text = csv::line(&[key, &entry.account, &entry.cents.to_string(), &entry.note.replace(['\n', '\r'], " ")]);
    let file = OpenOptions::new().create(true).append(true).open(books.join("ledger.csv"));
    // One write of a whole line: others that append at the same moment do not end up inside it.
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| failed("write", &e))?;
    Ok(Added { line })
}

fn was_added_in(books: &Path, key: &str) -> Reconciliation<Added> {
    let Ok(lines) = lines(books) else { return Reconciliation::Unknown };
    match lines.iter().position(|fields| fields[0] == key) {
        Some(at) => Reconciliation::Happened(Added { line: at + 1 }),
        None => Reconciliation::DidNotHappen,
    }
}

fn balance_in(books: &Path, account: &str) -> Result<Balance, ToolError> {
    let mut balance = Balance { cents: 0, entries: 0 };
    for (at, [_, owner, cents, _]) in lines(books)?.into_iter().enumerate() {
        if owner == account {
            let wrong = || ToolError::new(ErrorKind::Conflict, format!("line {} of the ledger: {cents:?} is no amount", at + 1));
            let cents: i64 = cents.parse().map_err(|_| wrong())?;
            balance.cents = balance.cents.checked_add(cents).ok_or_else(wrong)?;
            balance.entries += 1;
        }
    }
    Ok(balance)
}

/// The ledger, line by line; a new one has none.
fn lines(books: &Path) -> Result<Vec<[String; 4]>, ToolError> {
    if !books.is_dir() {
        let message = "there is no directory /books: an operator grants one to ledger, under the name books";
        return Err(ToolError::new(ErrorKind::Denied, message));
    }
    let text = match fs::read_to_string(books.join("ledger.csv")) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("read", &e)),
    };
    let fields = |(at, line): (usize, &str)| {
        csv::fields(line)
            .and_then(|fields| <[String; 4]>::try_from(fields).ok())
            .ok_or_else(|| ToolError::new(ErrorKind::Conflict, format!("line {} of the ledger has not four fields: {line:?}", at + 1)))
    };
    text.lines().enumerate().map(fields).collect()
}

fn failed(what: &str, error: &io::Error) -> ToolError {
    let kind = if error.kind() == io::ErrorKind::PermissionDenied { ErrorKind::Denied } else { ErrorKind::Failed };
    ToolError::new(kind, format!("cannot {what} the ledger: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(account: &str, cents: i64, note: &str) -> Entry {
        Entry { account: account.to_owned(), cents, note: note.to_owned() }
    }

    #[test]
    fn what_is_added_is_in_the_balance() {
        let books = tempfile::tempdir().unwrap();
        let books = books.path();
        assert_eq!(balance_in(books, "ann").unwrap(), Balance { cents: 0, entries: 0 });
        for (line, (account, cents, note)) in
            [("ann", 1200, "a, \"quoted\" note"), ("bo, jr.", 5, ""), ("ann", -200, "two\nlines")].into_iter().enumerate()
        {
            assert_eq!(add_in(books, &entry(account, cents, note), &format!("k{line}")).unwrap(), Added { line: line + 1 });
        }
        assert_eq!(balance_in(books, "ann").unwrap(), Balance { cents: 1000, entries: 2 });
        assert_eq!(balance_in(books, "bo, jr.").unwrap(), Balance { cents: 5, entries: 1 });
    }

    #[test]
    fn the_file_knows_what_became_of_a_call() {
        let books = tempfile::tempdir().unwrap();
        add_in(books.path(), &entry("ann", 1, ""), "k1").unwrap();
        assert_eq!(was_added_in(books.path(), "k1"), Reconciliation::Happened(Added { line: 1 }));
        assert_eq!(was_added_in(books.path(), "k2"), Reconciliation::DidNotHappen);
        assert_eq!(was_added_in(&books.path().join("gone"), "k1"), Reconciliation::Unknown);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let books = tempfile::tempdir().unwrap();
        let books = books.path();
        let kind = |result: Result<Added, ToolError>| result.unwrap_err().kind;
        assert_eq!(kind(add_in(books, &entry("", 1, ""), "k")), ErrorKind::InvalidInput);
        assert_eq!(kind(add_in(&books.join("gone"), &entry("ann", 1, ""), "k")), ErrorKind::Denied);
        fs::write(books.join("ledger.csv"), "k1,ann,10,\nk2,ann,ten,\n").unwrap();
        let error = balance_in(books, "ann").unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Conflict, "line 2 of the ledger: \"ten\" is no amount"));
        fs::write(books.join("ledger.csv"), "k1,ann\n").unwrap();
        assert_eq!(balance_in(books, "ann").unwrap_err().kind, ErrorKind::Conflict);
    }

    #[test]
    fn through_json_as_the_host_calls() {
        use reprise_guest::testing::call;
        let error = call::<balance>("k", &serde_json::json!({"acount": "ann"})).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert!(error.message.contains("acount"), "{error}");
    }
}
