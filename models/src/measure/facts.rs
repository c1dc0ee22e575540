//! What the control plane could not see but the simulator can: the facts of each minute, for finding causes.

use super::{JobFacts, Trouble};
use crate::scaling::Verdict;

/// A group's minute.
#[derive(Clone, Debug, PartialEq)]
pub struct MinuteFacts {
    /// Attempts that its balancers carried, and messages through open sessions, per second.
    pub load: f64,
    /// That part of the load that first attempts make, per second: what was asked for, without retries and hedges.
    pub asked: f64,
    /// Requests per second that its healthy instances could have served.
    pub capacity: f64,
    /// Mean utilisation of the cores of healthy instances, 0 to 1.
    pub cpu: f64,
    /// Utilisation of the busiest instance's bottleneck: for an event loop its one thread, else its cores.
    pub hottest: f64,
    /// The same of all healthy instances, on average.
    pub evenly: f64,
    /// Utilisation of the busiest worker, by its share of its instance's requests so far; that of the instance where it has
    /// one process.
    pub busiest_worker: f64,
    /// How full the fullest inference engine was at the end, 0 to 1; 0 where there is none.
    pub engine: f64,
    /// Instances that take requests at the end: healthy ones, or all that are up where none is healthy.
    pub serving: u32,
    /// Instances that are up, and whose load health checks have left to the others.
    pub unhealthy: u32,
    /// Instances that were launched and take no requests yet.
    pub starting: u32,
    /// The longest of these has been starting for so many seconds.
    pub starting_for: f64,
    /// Desired capacity.
    pub desired: u32,
    /// The maximum.
    pub max: u32,
    /// Requests waiting for a slot at the end.
    pub queued: u32,
    /// Requests refused by full accept queues.
    pub refused: u64,
    /// Requests that limits turned away: rate limiters, circuit breakers with too many in progress, open ones, servers that
    /// shed load.
    pub turned_away: [u64; 4],
    /// Instances lost.
    pub lost: u32,
    /// Connections of sessions lost.
    pub dropped: u64,
    /// Attempts of handshakes by clients whose connection had been lost.
    pub returns: u64,
    /// Their share of all attempts that its balancers carried.
    pub returning: f64,
    /// How often a CPU quota ran out.
    pub throttled: u64,
    /// Healthy instances without CPU credits at the end.
    pub without_credits: u32,
    /// Its workers and their queue; `None` where it takes nothing from one.
    pub jobs: Option<Box<JobFacts>>,
    /// What the group's most active target tracking policy said, if it has one, and in which words.
    pub policy: Option<(Verdict, String)>,
    /// What incidents did to it, where there were any.
    pub trouble: Option<Box<Trouble>>,
}
