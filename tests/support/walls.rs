//! A server under attack, with a tool and a playbook that have nothing to do with it and must go on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::guests::{Provided, component, provider};
use super::server::{Answer, Server};

const WASM: &[(&str, &str)] = &[("content-type", "application/wasm")];

/// The whole interface of a guest that does one thing: `guest/f`.
pub const MINE: &str = "interface mine { f: func() -> s32; }";

/// Where a failed call says which kind of error it was.
const WHAT: &[&str] = &["broken", "timeout"];

/// A server with a bystander.
pub struct Walls {
    /// For all that is not done often.
    pub server: Server,
}

impl Walls {
    /// With no grants.
    pub fn up() -> Walls {
        Walls::granting(&[])
    }

    /// With these, as on the command line.
    pub fn granting(grants: &[String]) -> Walls {
        let walls = Walls { server: Server::granting(grants) };
        walls.bring(provider(Provided { name: "calm/tool", answer: "\"calm\"", ..Provided::default() })).ok();
        walls
    }

    /// Uploads a component as a tool.
    pub fn bring(&self, bytes: Vec<u8>) -> Answer {
        self.server.send("POST", "/v1/tools", WASM, Some(bytes))
    }

    /// Uploads a component as a playbook.
    pub fn bring_playbook(&self, id: &str, bytes: Vec<u8>) -> Answer {
        self.server.send("POST", &format!("/v1/playbooks?id={id}"), WASM, Some(bytes))
    }

    /// One call.
    pub fn call(&self, tool: &str, input: &Value) -> Value {
        self.server.post(&format!("/v1/tools/{tool}/call"), &json!({ "input": input })).ok()
    }

    /// A call that must fail by the guest's own doing; what the error says.
    pub fn breaks(&self, tool: &str) -> String {
        let answer = self.call(tool, &json!({}));
        let kind = answer["error"]["kind"].as_str().unwrap_or_else(|| panic!("it went well: {answer}"));
        assert!(WHAT.contains(&kind), "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    }

    /// Uploads what is refused there; what the refusal says.
    pub fn refuses(&self, bytes: Vec<u8>, status: u16, code: &str) -> String {
        self.bring(bytes).refused(status, code)["message"].as_str().unwrap().to_owned()
    }

    /// The server is there, and the bystander is answered.
    pub fn stand(&self) {
        self.server.assert_alive();
        let calm = self.call("calm/tool", &json!({}));
        assert_eq!(calm["output"], "calm", "{calm}");
    }
}

/// A component whose only tool, `guest/f`, is `f`: the body of a function that leaves a number. `module` has what it needs beside
/// it, `imports` and `packages` the WIT of what it imports.
pub fn attacker(module: &str, f: &str, imports: &str, packages: &str) -> Vec<u8> {
    let core = format!(
        r#"(module {module}
            (memory (export "memory") 4)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 131072))
            (func (export "test:guest/mine#f") (result i32) {f}))"#
    );
    component(&core, &format!("{packages}\n{MINE}\nworld guest {{ {imports} export mine; }}"))
}
