//! Each function does one thing with what the system gives, and says what came of it.

wit_bindgen::generate!({ path: "wit", world: "clerk", generate_all });

use std::time::{SystemTime, UNIX_EPOCH};

use wasi::keyvalue::store::{Bucket, Error, open};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

use exports::acme::clerk::desk::Guest;

struct Clerk;

export!(Clerk);

fn named(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".to_owned(),
        Error::AccessDenied => "access denied".to_owned(),
        Error::Other(why) => why,
    }
}

fn bucket(name: &str) -> Result<Bucket, String> {
    open(name).map_err(named)
}

impl Guest for Clerk {
    fn read(path: String) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }

    fn write(path: String, text: String) -> Result<(), String> {
        std::fs::write(path, text).map_err(|e| e.to_string())
    }

    fn variable(name: String) -> Option<String> {
        std::env::var(name).ok()
    }

    fn setting(name: String) -> Result<Option<String>, String> {
        wasi::config::store::get(&name).map_err(|e| format!("{e:?}"))
    }

    fn seconds() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
    }

    fn dice() -> u64 {
        wasip2::random::random::get_random_u64()
    }

    fn say(text: String) {
        println!("{text}");
        eprintln!("{text}!");
        wasi::logging::logging::log(wasi::logging::logging::Level::Warn, "desk", &text);
    }

    fn fetch(authority: String, path: String, header: Option<(String, String)>) -> Result<(u16, String), String> {
        let headers = Fields::new();
        if let Some((name, value)) = header {
            headers.append(&name, value.as_bytes()).map_err(|e| format!("{e:?}"))?;
        }
        let request = OutgoingRequest::new(headers);
        request.set_scheme(Some(&Scheme::Http)).map_err(|()| "scheme")?;
        request.set_authority(Some(&authority)).map_err(|()| "authority")?;
        request.set_path_with_query(Some(&path)).map_err(|()| "path")?;
        let answer = handle(request, None).map_err(|e| format!("{e:?}"))?;
        answer.subscribe().block();
        let answer = answer.get().expect("it is ready").expect("it is taken once").map_err(|e| format!("{e:?}"))?;
        let body = answer.consume().map_err(|()| "the body is gone")?;
        let stream = body.stream().map_err(|()| "the stream is gone")?;
        let mut bytes = Vec::new();
        while let Ok(more) = stream.blocking_read(4096) {
            bytes.extend(more);
        }
        Ok((answer.status(), String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn connect(address: String) -> Result<(), String> {
        std::net::TcpStream::connect(address).map(drop).map_err(|e| e.to_string())
    }

    fn remember(name: String, key: String, value: String) -> Result<(), String> {
        bucket(&name)?.set(&key, value.as_bytes()).map_err(named)
    }

    fn recall(name: String, key: String) -> Result<Option<String>, String> {
        let value = bucket(&name)?.get(&key).map_err(named)?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn count(name: String, key: String) -> Result<u64, String> {
        wasi::keyvalue::atomics::increment(&bucket(&name)?, &key, 1).map_err(named)
    }

    fn keys(name: String) -> Result<Vec<String>, String> {
        let (bucket, mut keys, mut cursor) = (bucket(&name)?, Vec::new(), None);
        loop {
            let page = bucket.list_keys(cursor).map_err(named)?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }

    fn leave(code: u8) {
        std::process::exit(code.into());
    }
}
