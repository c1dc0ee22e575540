//! Shards: the parts of a sweep that machines of a cluster play, each by itself.

use std::fmt;
use std::str::FromStr;

/// Shards that a sweep may have.
pub const MOST_SHARDS: u32 = 100_000;

/// One of so many parts of a sweep, written `2/8`: shards count from 1, cells from 0, and shard *i* of *n* has the cells
/// *k* with *k* mod *n* = *i* − 1. So neighbouring cells, which take about as long, are spread evenly.
///
/// ```
/// use scalesim::experiment::sweep::Shard;
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!((0..7).filter(|&cell| shard.holds(cell)).collect::<Vec<_>>(), [1, 4]);
/// # Ok::<(), scalesim::experiment::sweep::ShardError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

/// Why there is no telling which shard it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShardError(String);

impl Shard {
    /// The only one.
    pub const ALL: Shard = Shard { number: 1, of: 1 };

    /// Number `number`, from 1, of `of`.
    ///
    /// # Errors
    /// Where there is no such shard.
    pub fn new(number: u32, of: u32) -> Result<Shard, ShardError> {
        if of == 0 || of > MOST_SHARDS {
            return Err(ShardError(format!("there can be 1 to {MOST_SHARDS} shards, not {of}")));
        }
        if number == 0 || number > of {
            return Err(ShardError(format!("there is no shard {number} of {of}: they count from 1 to {of}")));
        }
        Ok(Shard { number, of })
    }

    /// Its number, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether it plays a cell.
    pub fn holds(self, cell: usize) -> bool {
        cell % self.of as usize == self.number as usize - 1
    }

    /// The shard that a cluster's engine has made this process for, by the variables that it sets:
    ///
    /// | engine | which | of how many |
    /// |---|---|---|
    /// | Slurm, `sbatch --array` | `SLURM_ARRAY_TASK_ID`, `_MIN`, `_STEP` | `SLURM_ARRAY_TASK_COUNT` |
    /// | AWS Batch, array jobs | `AWS_BATCH_JOB_ARRAY_INDEX`, from 0 | `AWS_BATCH_JOB_ARRAY_SIZE` |
    /// | Kubernetes, indexed jobs | `JOB_COMPLETION_INDEX`, from 0 | no variable: `of` |
    ///
    /// `variable` looks one up; `of` is what the user says of how many there are.
    ///
    /// # Errors
    /// Where the variables of none of them are there, or those of several, or they contradict each other or `of`.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        of: Option<u32>,
    ) -> Result<Shard, ShardError> {
        let environment = Environment { variable: &variable, of };
        let engines = ["SLURM_ARRAY_TASK_ID", "AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"];
        let found: Vec<&str> = engines.into_iter().filter(|name| variable(name).is_some()).collect();
        match found.as_slice() {
            ["SLURM_ARRAY_TASK_ID"] => environment.slurm(),
            ["AWS_BATCH_JOB_ARRAY_INDEX"] => environment.batch(),
            ["JOB_COMPLETION_INDEX"] => environment.kubernetes(),
            [] => Err(ShardError(format!(
                "no shard can be told: none of {} is set; say which one it is, as `--shard 2/8`",
                engines.join(", ")
            ))),
            several => Err(ShardError(format!(
                "the shard is ambiguous: {} are set; say which one it is, as `--shard 2/8`",
                several.join(" and ")
            ))),
        }
    }
}

/// The variables of a process, and what the user says.
struct Environment<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    of: Option<u32>,
}

impl Environment<'_> {
    /// Only arrays with an even step: of `--array=1,3,7` no task knows which of the three it is.
    fn slurm(&self) -> Result<Shard, ShardError> {
        let [id, least, most, step, count] = ["ID", "MIN", "MAX", "STEP", "COUNT"]
            .map(|name| self.number(&format!("SLURM_ARRAY_TASK_{name}")));
        let (id, least, most, step, count) = (id?, least?, most?, step?.max(1), count?);
        let tasks = u64::from(most.saturating_sub(least)) / u64::from(step) + 1;
        let index = id.checked_sub(least).filter(|index| index % step == 0 && id <= most);
        let (true, Some(index)) = (tasks == u64::from(count), index) else {
            return Err(ShardError(format!(
                "an array of {count} tasks from {least} to {most} by {step} does not tell which of them task {id} is; \
                 give the array as a range (`--array=1-8`), or say `--shard $SLURM_ARRAY_TASK_ID/8`"
            )));
        };
        Shard::new(index / step + 1, self.agreed(count, "SLURM_ARRAY_TASK_COUNT")?)
    }

    fn batch(&self) -> Result<Shard, ShardError> {
        let index = self.number("AWS_BATCH_JOB_ARRAY_INDEX")?;
        let size = self.number("AWS_BATCH_JOB_ARRAY_SIZE")?;
        Shard::new(index.saturating_add(1), self.agreed(size, "AWS_BATCH_JOB_ARRAY_SIZE")?)
    }

    /// A pod of an indexed job is not told how many completions the job has.
    fn kubernetes(&self) -> Result<Shard, ShardError> {
        let index = self.number("JOB_COMPLETION_INDEX")?;
        let of = self.of.ok_or_else(|| {
            ShardError(
                "JOB_COMPLETION_INDEX tells which shard it is, and nothing how many there are: \
                 add `--shards N` with the job's `completions`"
                    .to_string(),
            )
        })?;
        Shard::new(index.saturating_add(1), of)
    }

    fn number(&self, name: &str) -> Result<u32, ShardError> {
        let text = (self.variable)(name).ok_or_else(|| ShardError(format!("{name} is not set")))?;
        text.trim().parse().map_err(|_| ShardError(format!("{name} is `{text}`, which is no number")))
    }

    /// How many the engine says there are, where the user does not say otherwise.
    fn agreed(&self, count: u32, name: &str) -> Result<u32, ShardError> {
        match self.of {
            Some(of) if of != count => {
                Err(ShardError(format!("{name} says {count} shards, and `--shards` says {of}")))
            }
            _ => Ok(count),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let numbers = text.split_once('/').and_then(|(number, of)| {
            Some((number.trim().parse::<u32>().ok()?, of.trim().parse::<u32>().ok()?))
        });
        match numbers {
            Some((number, of)) => Shard::new(number, of),
            None => Err(ShardError(format!("`{text}` is no shard; write `2/8`, or `auto` on a cluster"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed, and says where")]
    use super::*;

    fn told(variables: &[(&str, &str)], of: Option<u32>) -> Result<String, String> {
        let look_up = |name: &str| {
            variables.iter().find(|variable| variable.0 == name).map(|variable| variable.1.to_string())
        };
        Shard::from_environment(look_up, of).map(|shard| shard.to_string()).map_err(|error| error.to_string())
    }

    fn slurm(numbers: [&str; 5]) -> [(&str, &str); 5] {
        let names = ["ID", "MIN", "MAX", "STEP", "COUNT"];
        let names = names.map(|name| match name {
            "ID" => "SLURM_ARRAY_TASK_ID",
            "MIN" => "SLURM_ARRAY_TASK_MIN",
            "MAX" => "SLURM_ARRAY_TASK_MAX",
            "STEP" => "SLURM_ARRAY_TASK_STEP",
            _ => "SLURM_ARRAY_TASK_COUNT",
        });
        [0, 1, 2, 3, 4].map(|index| (names[index], numbers[index]))
    }

    #[test]
    fn every_cell_is_in_one_shard() {
        for of in 1..=9 {
            let holders =
                |cell| (1..=of).filter(|&number| Shard::new(number, of).unwrap().holds(cell)).count();
            assert!((0..50).all(|cell| holders(cell) == 1), "{of}");
        }
    }

    #[test]
    fn clusters_tell_a_process_which_shard_it_is() {
        assert_eq!(told(&slurm(["0", "0", "15", "1", "16"]), None).unwrap(), "1/16");
        assert_eq!(told(&slurm(["8", "1", "8", "1", "8"]), None).unwrap(), "8/8");
        assert_eq!(told(&slurm(["8", "0", "12", "4", "4"]), None).unwrap(), "3/4", "--array=0-15:4");
        let batch = [("AWS_BATCH_JOB_ARRAY_INDEX", "4"), ("AWS_BATCH_JOB_ARRAY_SIZE", "10")];
        assert_eq!(told(&batch, None).unwrap(), "5/10");
        assert_eq!(told(&[("JOB_COMPLETION_INDEX", "0")], Some(4)).unwrap(), "1/4");
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        let says = |variables: &[(&str, &str)], of, part: &str| {
            let error = told(variables, of).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        };
        says(&[], None, "none of SLURM_ARRAY_TASK_ID, AWS_BATCH_JOB_ARRAY_INDEX, JOB_COMPLETION_INDEX");
        says(&[("JOB_COMPLETION_INDEX", "0")], None, "--shards N");
        says(&[("JOB_COMPLETION_INDEX", "4")], Some(4), "no shard 5 of 4");
        says(&[("JOB_COMPLETION_INDEX", "x")], Some(4), "no number");
        says(&[("AWS_BATCH_JOB_ARRAY_INDEX", "4")], None, "AWS_BATCH_JOB_ARRAY_SIZE is not set");
        says(&[("SLURM_ARRAY_TASK_ID", "4")], None, "SLURM_ARRAY_TASK_MIN is not set");
        says(&slurm(["3", "1", "7", "1", "3"]), None, "--array=1-8"); // --array=1,3,7
        says(&slurm(["3", "1", "8", "1", "8"]), Some(9), "`--shards` says 9");
        let both = [("JOB_COMPLETION_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_INDEX", "0")];
        says(&both, Some(4), "ambiguous");
    }

    #[test]
    fn a_shard_is_a_number_of_how_many() {
        assert_eq!("8/8".parse::<Shard>().unwrap().to_string(), "8/8");
        for bad in ["", "2", "0/8", "9/8", "1/0", "-1/8", "a/b", "1/100001"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
