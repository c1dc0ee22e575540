//! What a supervisor does when a process dies: a pure function of its rules and of what it remembers of the process.
//!
//! pm2 (5.4, `lib/God.js` and `lib/Worker.js`): a death within `min_uptime` (1 s) of a start is unstable, and the 16th is the
//! last. They count only within `min_uptime` × `max_restarts` (16 s) of when somebody started or reloaded the app: one that
//! fails late, or slowly, or between long waits is started for ever. With `exp_backoff_restart_delay` each wait is half as
//! long again as the one before, in whole milliseconds and up to 15 s, until the app has been up for 30 s. systemd: 100 ms
//! before each start, and five starts within 10 s (`systemd.service(5)`, `systemd.unit(5)`).

use sim_core::{Span, Time};

use crate::plan::{GiveUp, Supervisor};

/// What a supervisor remembers of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct History {
    /// When its release was started.
    pub released: Time,
    /// When the process was started last: its app needs a while until it answers.
    pub started: Time,
    /// Restarts in a row.
    pub restarts: u32,
    /// The last wait; zero where the next begins a row.
    delay: Span,
    /// Deaths that count.
    unstable: u32,
    /// The starts since this instant are counted.
    window: Time,
    starts: u32,
}

/// What it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It starts the process again after so long.
    Start(Span),
    /// It has done so often enough.
    Never,
}

impl History {
    /// A process that is started now, with its release.
    pub fn new(now: Time) -> Self {
        History {
            released: now,
            started: now,
            restarts: 0,
            delay: Span::ZERO,
            unstable: 0,
            window: now,
            starts: 1,
        }
    }

    /// The process has died.
    pub fn died(&mut self, rules: &Supervisor, now: Time) -> Next {
        let lived = now.since(self.started);
        if lived > rules.stable_after {
            (self.delay, self.restarts) = (Span::ZERO, 0);
        }
        self.delay = if self.delay.is_zero() || rules.backoff == 1.0 {
            rules.delay
        } else {
            whole_millis(self.delay.mul_f64(rules.backoff)).min(rules.most_delay)
        };
        if self.gives_up(rules, lived, now) {
            return Next::Never;
        }
        self.restarts = self.restarts.saturating_add(1);
        Next::Start(self.delay)
    }

    fn gives_up(&mut self, rules: &Supervisor, lived: Span, now: Time) -> bool {
        match rules.give_up {
            GiveUp::Never => false,
            GiveUp::Unstable { exits, min_uptime, within } => {
                let unstable = lived < min_uptime;
                match within {
                    Some(within) => {
                        self.unstable += u32::from(unstable && now.since(self.released) < within);
                    }
                    None if unstable => self.unstable += 1,
                    None => self.unstable = 0,
                }
                self.unstable >= exits
            }
            GiveUp::Starts { burst, within } => {
                let start = now + self.delay;
                if start.since(self.window) > within {
                    (self.window, self.starts) = (start, 0);
                }
                self.starts = self.starts.saturating_add(1);
                self.starts > burst
            }
        }
    }
}

fn whole_millis(span: Span) -> Span {
    Span::from_millis(span.as_nanos() / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Span = Span::from_secs(1);

    fn pm2(delay: Span, backoff: f64) -> Supervisor {
        Supervisor {
            name: "pm2",
            delay,
            backoff,
            most_delay: Span::from_secs(15),
            stable_after: Span::from_secs(30),
            give_up: GiveUp::Unstable {
                exits: 16,
                min_uptime: SECOND,
                within: Some(SECOND.saturating_mul(16)),
            },
        }
    }

    /// The waits of a process that dies `after` so long each time, in milliseconds, and whether that had an end.
    fn waits(rules: &Supervisor, after: Span, most: usize) -> (Vec<u64>, bool) {
        let mut now = Time::ZERO;
        let mut history = History::new(now);
        let mut waits = Vec::new();
        while waits.len() < most {
            now += after;
            match history.died(rules, now) {
                Next::Never => return (waits, true),
                Next::Start(wait) => {
                    waits.push(wait.as_nanos() / 1_000_000);
                    now += wait;
                    history.started = now;
                }
            }
        }
        (waits, false)
    }

    /// The pm2 documentation shows 100, 150, 225; the code goes on with the floor of half as long again.
    #[test]
    fn pm2_waits_half_as_long_again_up_to_fifteen_seconds_and_for_ever() {
        let (waits, over) = waits(&pm2(Span::from_millis(100), 1.5), Span::ZERO, 40);
        assert_eq!(waits[..8], [100, 150, 225, 337, 505, 757, 1_135, 1_702]);
        assert_eq!(waits[20..], [15_000; 20]);
        // Sixteen seconds are over before sixteen deaths: it never gives up.
        assert!(!over);
    }

    #[test]
    fn pm2_gives_up_at_the_sixteenth_unstable_death() {
        let (waits, over) = waits(&pm2(Span::ZERO, 1.0), Span::from_millis(500), 100);
        assert_eq!((waits.len(), over), (15, true));
    }

    /// A life of a second is stable for it, however the app fares in it.
    #[test]
    fn pm2_never_gives_up_on_what_takes_a_second_to_fail() {
        assert_eq!(waits(&pm2(Span::ZERO, 1.0), SECOND, 1_000), (vec![0; 1_000], false));
    }

    #[test]
    fn pm2_forgets_the_wait_of_a_process_that_was_up_for_half_a_minute() {
        let rules = pm2(Span::from_millis(100), 1.5);
        let mut history = History::new(Time::ZERO);
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        assert_eq!(history.died(&rules, at(40)), Next::Start(Span::from_millis(100)));
        history.started = at(41);
        assert_eq!(history.died(&rules, at(71)), Next::Start(Span::from_millis(150)), "not longer than 30 s");
        history.started = at(72);
        assert_eq!(history.died(&rules, at(103)), Next::Start(Span::from_millis(100)));
        assert_eq!(history.restarts, 1);
    }

    #[test]
    fn deaths_in_a_row_count_whenever_they_begin() {
        let mut rules = pm2(Span::ZERO, 1.0);
        rules.give_up = GiveUp::Unstable { exits: 3, min_uptime: SECOND, within: None };
        let mut history = History::new(Time::ZERO);
        let mut now = Time::ZERO;
        let mut dies_after = |millis| {
            now += Span::from_millis(millis);
            let next = history.died(&rules, now);
            history.started = now;
            next
        };
        for millis in [3_600_000, 10, 10, 5_000, 10, 10] {
            assert_eq!(dies_after(millis), Next::Start(Span::ZERO));
        }
        assert_eq!(dies_after(10), Next::Never);
    }

    /// Five starts in ten seconds, whatever came of them, and the sixth is refused.
    #[test]
    fn systemd_starts_five_times_in_ten_seconds() {
        let rules = Supervisor {
            name: "systemd",
            delay: Span::from_millis(100),
            give_up: GiveUp::Starts { burst: 5, within: Span::from_secs(10) },
            ..pm2(Span::ZERO, 1.0)
        };
        // The start of the release is the first.
        assert_eq!(waits(&rules, Span::ZERO, 100), (vec![100; 4], true));
        // Every 2.6 s: at most four in ten seconds.
        assert_eq!(waits(&rules, Span::from_millis(2_500), 100), (vec![100; 100], false));
        let mut old = History::new(Time::ZERO);
        let day = Time::ZERO + Span::from_secs(86_400);
        let last = (0..10).position(|_| old.died(&rules, day) == Next::Never);
        assert_eq!(last, Some(5), "five restarts of what had run for a day");
    }
}
