//! A test-fix loop: the checks are run, what they complain of is corrected, they are run again, and a note says by whom.
//!
//! The checks are a program, started with `exec/run`. Surprises: once the first complaints are gone, another one comes;
//! nothing is wrong from the beginning.

use serde_json::{Value, json};

use super::{Family, Surprise};
use crate::learning::agent::Agent;
use crate::learning::dice::Dice;
use crate::learning::world::Scene;

pub const FAMILY: Family = Family { name: "test-fix loop", goal: "make the checks pass", draw, perform };

/// Runs with nothing but what the shell itself has. What `late` lists is looked at only where all else is well.
const CHECK: &str = r#"failed=0
look() {
  while read -r file wanted; do
    read -r found < "$file"
    if [ "$found" != "$wanted" ]; then echo "FAIL $file: expected <$wanted> but found <$found>"; failed=1; fi
  done < "$1"
}
look expected.txt
if [ $failed = 0 ]; then look late.txt; fi
if [ $failed = 0 ]; then echo "all passed"; fi
exit $failed
"#;

fn draw(dice: &mut Dice, surprise: Option<Surprise>) -> Scene {
    let mut scene = Scene::default();
    let words = dice.words(16);
    scene.input("by", words[15]);
    scene.file("check.sh", CHECK);
    let (files, wrong) = (dice.between(4, 6), if surprise == Some(Surprise::Other) { 0 } else { dice.between(1, 3) });
    let mut expected = String::new();
    for (n, pair) in (0..files).zip(words.chunks(2)) {
        let (name, wanted) = (pair[0], pair[1]);
        let found = if n < wrong { wanted.chars().rev().collect() } else { wanted.to_owned() };
        scene.file(format!("src/{name}.txt"), format!("{found}\n{}\n", dice.between(1, 9)));
        expected += &format!("src/{name}.txt {wanted}\n");
    }
    scene.file("expected.txt", expected);
    let late = surprise == Some(Surprise::One);
    scene.file("src/late.txt", if late { "wornd\n" } else { "drown\n" });
    scene.file("late.txt", "src/late.txt drown\n");
    scene
}

fn perform(agent: &mut Agent) -> Value {
    let check = || json!({"program": "/bin/sh", "args": ["check.sh"], "codes": [0, 1]});
    let mut fixed: Vec<String> = Vec::new();
    loop {
        let checked = agent.call("exec/run", check());
        if checked["code"] == 0 {
            break;
        }
        for line in checked["stdout"].as_str().unwrap().lines() {
            let between = |after: &str, before: &str| line.split_once(after).unwrap().1.split_once(before).unwrap().0.to_owned();
            let (file, wanted, found) = (between("FAIL ", ":"), between("expected <", ">"), between("found <", ">"));
            agent.slip("fs/replace", json!({"path": format!("project/lib/{file}"), "old": found, "new": wanted}));
            agent.call("fs/replace", json!({"path": format!("project/{file}"), "old": found, "new": wanted}));
            fixed.push(file);
        }
    }
    let by = agent.input("by");
    let text = if fixed.is_empty() { format!("nothing to do for {by}\n") } else { format!("corrected by {by}: {}\n", fixed.join(", ")) };
    agent.call("fs/write", json!({"path": "project/CORRECTED.txt", "text": text}));
    json!({"corrected": fixed})
}
