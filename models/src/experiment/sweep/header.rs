//! What a file of cells says of the sweep that they belong to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::design::Design;
use super::shard::Shard;
use crate::plan::Plan;

/// The version of the format of cells.
pub const SCHEMA: &str = "scalesim.sweep/1";

/// Which sweep it is. Two cells can stand in one table if all of this but the shard is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of scalesim.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// What was set for all cells, as of `--set`.
    pub set: Vec<String>,
    /// The axes, as of `--vary`.
    pub axes: Vec<String>,
    /// Which cells there are.
    pub design: Design,
    /// The scenario's seed, which a Latin hypercube is drawn from and cells are played from, unless an axis varies it.
    pub seed: u64,
    /// How often each cell is played.
    pub replications: u32,
    /// How many cells there are.
    pub cells: usize,
    /// A hash of what the cells play, traces and prices included, as 16 hexadecimal digits.
    pub plans: String,
    /// The part of the sweep that is played here, such as `2/8`; `None` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

/// Something in which two sweeps differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is called in a [`Header`].
    pub field: &'static str,
    /// What the first says.
    pub one: String,
    /// What the second says.
    pub other: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} there, {} here", self.field, self.one, self.other)
    }
}

impl Header {
    /// The same for a part of the sweep.
    pub fn of_shard(&self, shard: Shard) -> Header {
        let part = (shard.of() > 1).then(|| shard.to_string());
        Header { shard: part, ..self.clone() }
    }

    /// In what the sweep differs from another one, shards aside. What follows from other differences is not named beside
    /// them.
    pub fn differences(&self, other: &Header) -> Vec<Difference> {
        let show = |list: &[String]| if list.is_empty() { "none".to_string() } else { list.join(" ") };
        let fields = |of: &Header| {
            [
                ("schema", of.schema.clone()),
                ("version", of.version.clone()),
                ("scenario", of.scenario.clone()),
                ("set", show(&of.set)),
                ("axes", show(&of.axes)),
                ("design", of.design.to_string()),
                ("seed", of.seed.to_string()),
                ("replications", of.replications.to_string()),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(other));
        let differing = pairs.filter(|(one, other)| one.1 != other.1);
        let mut found: Vec<Difference> =
            differing.map(|(one, other)| Difference { field: one.0, one: one.1, other: other.1 }).collect();
        if found.is_empty() && (&self.plans, self.cells) != (&other.plans, other.cells) {
            let (one, other) = (self.plans.clone(), other.plans.clone());
            found.push(Difference {
                field: "plans (the scenario's text, or a file that it names)",
                one,
                other,
            });
        }
        found
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Design::Grid => f.write_str("a grid"),
            Design::LatinHypercube { cells } => write!(f, "a Latin hypercube of {cells}"),
        }
    }
}

/// FNV-1a over what plans look like when printed, so that everything in them counts.
pub(super) struct Hash(u64);

impl Hash {
    pub(super) fn new() -> Hash {
        Hash(0xCBF2_9CE4_8422_2325)
    }

    /// Takes a number in.
    pub(super) fn add(&mut self, number: u64) {
        number.to_le_bytes().into_iter().for_each(|byte| self.byte(byte));
    }

    /// The hash of one plan.
    pub(super) fn of(plan: &Plan) -> u64 {
        use fmt::Write;
        let mut hash = Hash::new();
        let _ = write!(hash, "{plan:?}"); // a hash takes in everything
        hash.0
    }

    /// As hexadecimal digits.
    pub(super) fn digits(&self) -> String {
        format!("{:016x}", self.0)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.byte(byte));
        Ok(())
    }
}
