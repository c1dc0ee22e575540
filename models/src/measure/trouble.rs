//! What incidents did to a group in a minute, for finding causes.

/// The incidents of a group's minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trouble {
    /// Zones of the group that were lost, by index.
    pub zones_lost: Vec<u16>,
    /// Times that processes died.
    pub deaths: u32,
    /// Processes that were dead, the most at a time.
    pub dead: u32,
    /// Those of them that nobody starts again.
    pub given_up: u32,
    /// Instances whose user data has failed, the most at a time.
    pub without_app: u32,
    /// A release was in progress: its number from 1, and 0 where none was.
    pub release: u16,
    /// Instances that were not there or not healthy while it was, the most at a time.
    pub out: u32,
    /// Requests that were answered with an error.
    pub errors: u64,
    /// Instances whose CPU work took longer, the most at a time.
    pub slow: u32,
    /// How many times as long it took on the slowest; 0 where none was slow.
    pub slowest: f64,
    /// Instances that stood still, the most at a time.
    pub paused: u32,
    /// How many times as long waits for what lies outside took; 0 where they took no longer.
    pub waits: f64,
    /// The share of these that failed.
    pub failing: f64,
}

impl Trouble {
    /// Adds what came on top in the same minute.
    pub fn add(&mut self, other: &Trouble) {
        for &zone in &other.zones_lost {
            if !self.zones_lost.contains(&zone) {
                self.zones_lost.push(zone);
            }
        }
        self.deaths += other.deaths;
        self.dead = self.dead.max(other.dead);
        self.given_up = self.given_up.max(other.given_up);
        self.without_app = self.without_app.max(other.without_app);
        self.release = self.release.max(other.release);
        self.out = self.out.max(other.out);
        self.errors += other.errors;
        self.slow = self.slow.max(other.slow);
        self.slowest = self.slowest.max(other.slowest);
        self.paused = self.paused.max(other.paused);
        self.waits = self.waits.max(other.waits);
        self.failing = self.failing.max(other.failing);
    }
}
