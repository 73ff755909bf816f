//! The tasks. Each is drawn anew for every run and every job: other names, contents and numbers of things.
//!
//! A family says nothing to the learner but what an agent leaves behind: goal, inputs, calls and answers. A scene that
//! holds a *surprise* asks the agent for something that no ordinary scene of the family asks for: a playbook cannot know
//! how to do it, and must stop before it does something else.

mod cursor;
mod export;
mod fixing;
mod migration;
mod records;
mod release;
mod rotation;

use serde_json::Value;

use super::agent::Agent;
use super::dice::Dice;
use super::world::Scene;

/// A kind of task.
#[derive(Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    /// What the agent is asked for, in the words of a run's goal.
    pub goal: &'static str,
    /// A world to do it in.
    pub draw: fn(&mut Dice, Option<Surprise>) -> Scene,
    /// Does it, and says what it came to.
    pub perform: fn(&mut Agent) -> Value,
}

/// Which of a family's two surprises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surprise {
    One,
    Other,
}

/// All of them, in the order of the table.
pub const FAMILIES: &[Family] =
    &[release::FAMILY, rotation::FAMILY, migration::FAMILY, export::FAMILY, cursor::FAMILY, fixing::FAMILY, records::FAMILY];
