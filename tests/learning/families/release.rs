//! Release preparation: the next patch version in two files, a dated heading in the changelog, and a file for the tag.
//!
//! The new version is in no input: it follows from the one that stands in `package.json`. Surprises: the readme names the
//! version twice; the version is a release candidate, whose next version is another one.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "release preparation", goal: "prepare the next patch release", draw, perform };

const UNRELEASED: &str = "## Unreleased\n";

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    let names = dice.words(2);
    let (name, codename) = (format!("{}-{}", names[0], dice.one(&["core", "cli", "web", "kit"])), names[1]);
    let candidate = if surprise == Some(Surprise::Other) { "-rc.1" } else { "" };
    let version = format!("{}.{}.{}{candidate}", dice.between(0, 4), dice.between(0, 30), dice.between(0, 12));
    let package = json!({"name": name, "version": version, "license": "MIT"});
    scene.input("codename", codename);
    scene.file("package.json", format!("{}\n", serde_json::to_string_pretty(&package).unwrap()));
    let twice = if surprise == Some(Surprise::One) { format!("\nDownload {version} here.\n") } else { String::new() };
    scene.file("README.md", format!("# {name}\n\n{}.\n\nThe latest release is {version}.\n{twice}", dice.sentence()));
    let changes: String = (0..dice.between(1, 4)).map(|_| format!("- {}\n", dice.sentence())).collect();
    let older: String = (0..dice.between(1, 3))
        .map(|n| format!("\n## 0.0.{n} (2025-0{}-1{})\n\n- {}\n", dice.between(1, 9), dice.between(0, 9), dice.sentence()))
        .collect();
    scene.file("CHANGELOG.md", format!("# Changes\n\n{UNRELEASED}\n{changes}{older}"));
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let package = agent.call("fs/read", json!({"path": "project/package.json", "as": "json"}));
    let text = |field: &str| package["json"][field].as_str().unwrap().to_owned();
    let (name, version) = (text("name"), text("version"));
    let new = next(&version);
    agent.slip("fs/replace", json!({"path": "project/package.json", "old": format!("'{version}'"), "new": format!("'{new}'")}));
    let line = |version: &str| format!("\"version\": \"{version}\"");
    agent.call("fs/replace", json!({"path": "project/package.json", "old": line(&version), "new": line(&new)}));

    let readme = agent.call("fs/read", json!({"path": "project/README.md"}));
    let mut replace = json!({"path": "project/README.md", "old": version, "new": new});
    let times = readme["text"].as_str().unwrap().matches(&version).count();
    if times > 1 {
        replace["count"] = times.into();
    }
    agent.call("fs/replace", replace);

    let changelog = agent.call("fs/read", json!({"path": "project/CHANGELOG.md"}));
    let changelog = changelog["text"].as_str().unwrap();
    let (_, rest) = changelog.split_once(&format!("{UNRELEASED}\n")).unwrap();
    let changes = rest.split_once("\n## ").unwrap().0;
    let (today, codename) = (agent.today.clone(), agent.input("codename"));
    let heading = format!("{UNRELEASED}\n## {new} ({today})\n");
    agent.call("fs/replace", json!({"path": "project/CHANGELOG.md", "old": UNRELEASED, "new": heading}));

    let path = format!("project/tags/v{new}.txt");
    let text = format!("{name} {new} \"{codename}\", {today}\n\n{changes}");
    agent.call("fs/write", json!({"path": path, "text": text, "create_dirs": true}));
    json!({"version": new, "tag": format!("v{new}")})
}

/// The next patch version; of a candidate the version that it is a candidate for.
fn next(version: &str) -> String {
    if let Some((released, _)) = version.split_once('-') {
        return released.to_owned();
    }
    let (rest, patch) = version.rsplit_once('.').unwrap();
    format!("{rest}.{}", patch.parse::<u64>().unwrap() + 1)
}
