//! Servers that are not always there: they break down and are repaired, or are switched off when idle and take time to come
//! back.

use super::error::{TheoryError, not_negative, positive};
use super::quasi_birth_death::{self as chain, Law, Move};
use super::service::Moments;

/// M/G/1 whose server breaks down; the request it was serving goes on after the repair.
///
/// Sources: White and Christie 1958, Gaver 1962, Avi-Itzhak and Naor 1963.
///
/// ```
/// use scalesim::theory::{Mg1Breakdown, ServiceLaw};
/// let service = ServiceLaw::Exponential { mean: 1.0 }.moments()?;
/// let repair = ServiceLaw::Deterministic { value: 10.0 }.moments()?;
/// let server = Mg1Breakdown::new(0.5, service, 0.02, repair, true)?;
/// assert!((server.mean_sojourn() - 5.083_333).abs() < 1e-6);
/// # Ok::<(), scalesim::theory::TheoryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mg1Breakdown {
    arrival_rate: f64,
    service: Moments,
    fail_rate: f64,
    repair: Moments,
    fails_idle: bool,
}

impl Mg1Breakdown {
    /// A server that fails at `fail_rate` while it is up: at any time, or only while it serves.
    pub fn new(
        arrival_rate: f64,
        service: Moments,
        fail_rate: f64,
        repair: Moments,
        fails_idle: bool,
    ) -> Result<Mg1Breakdown, TheoryError> {
        let server = Mg1Breakdown {
            arrival_rate: positive("arrival rate", arrival_rate)?,
            service,
            fail_rate: not_negative("failure rate", fail_rate)?,
            repair,
            fails_idle,
        };
        let offered_load = arrival_rate * server.mean_completion();
        if offered_load >= 1.0 {
            return Err(TheoryError::Unstable { offered_load, servers: 1 });
        }
        Ok(server)
    }

    /// The mean time from the start of a request's service to its end, repairs in between included: `E[S](1 + fE[R])`.
    pub fn mean_completion(&self) -> f64 {
        self.service.mean() * (1.0 + self.fail_rate * self.repair.mean())
    }

    /// The mean time from arrival to completion: `E[C] + λE[C²]/(2(1 − λE[C]))`, and `fE[R²]/(2(1 + fE[R]))` more where it
    /// fails while idle as well.
    pub fn mean_sojourn(&self) -> f64 {
        let down = 1.0 + self.fail_rate * self.repair.mean();
        let mean = self.mean_completion();
        let second =
            self.service.second() * down * down + self.fail_rate * self.service.mean() * self.repair.second();
        let found_down =
            if self.fails_idle { self.fail_rate * self.repair.second() / (2.0 * down) } else { 0.0 };
        mean + self.arrival_rate * second / (2.0 * (1.0 - self.arrival_rate * mean)) + found_down
    }
}

/// M/M/c whose servers break down, each by itself and at any time while it is up; repair times are exponential, and there
/// is no queue for repairs. An interrupted request goes back to the head of the queue and goes on.
///
/// Source: Mitrani and Avi-Itzhak 1968, as a quasi-birth-death process.
pub struct MmcBreakdown {
    arrival_rate: f64,
    law: Law,
}

impl MmcBreakdown {
    /// `servers` that serve at `service_rate`, fail at `fail_rate` and are repaired at `repair_rate`.
    pub fn new(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
        fail_rate: f64,
        repair_rate: f64,
    ) -> Result<MmcBreakdown, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        not_negative("failure rate", fail_rate)?;
        positive("repair rate", repair_rate)?;
        let all = few(servers)?;
        let moves = |jobs: usize, up: usize| -> Vec<Move> {
            let mut moves = vec![(1, up, arrival_rate)];
            if jobs.min(up) > 0 {
                moves.push((-1, up, jobs.min(up) as f64 * service_rate));
            }
            if up > 0 {
                moves.push((0, up - 1, up as f64 * fail_rate));
            }
            if up < all {
                moves.push((0, up + 1, (all - up) as f64 * repair_rate));
            }
            moves
        };
        let law = solve(all + 1, all, moves, arrival_rate / service_rate, servers)?;
        Ok(MmcBreakdown { arrival_rate, law })
    }

    /// The mean number of requests present.
    pub fn mean_number(&self) -> Result<f64, TheoryError> {
        self.law.mean_level()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> Result<f64, TheoryError> {
        Ok(self.mean_number()? / self.arrival_rate)
    }

    /// The mean number of servers that are up.
    pub fn mean_up(&self) -> Result<f64, TheoryError> {
        self.law.mean(|_, up| up as f64)
    }
}

/// How many servers are set up at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setups {
    /// One for each waiting request, as far as there are servers that are off; one is cancelled when nobody needs it any more.
    OnePerRequest,
    /// One at a time.
    Staggered,
}

/// M/M/c whose servers are off while there is nothing for them to do, and need an exponential time to be set up.
///
/// What it says of fixed start-up times is little: with more than one server they do very differently (Williams,
/// Harchol-Balter and Wang 2022). Sources: Gandhi, Harchol-Balter and Adan 2010; Phung-Duc 2014.
pub struct MmcSetup {
    arrival_rate: f64,
    servers: usize,
    setups: Setups,
    law: Law,
}

impl MmcSetup {
    /// `servers` that serve at `service_rate` and are set up at `setup_rate`. An idle one is switched off at once, or at
    /// `off_rate`.
    pub fn new(
        arrival_rate: f64,
        service_rate: f64,
        servers: u32,
        setup_rate: f64,
        setups: Setups,
        off_rate: Option<f64>,
    ) -> Result<MmcSetup, TheoryError> {
        positive("arrival rate", arrival_rate)?;
        positive("service rate", service_rate)?;
        positive("setup rate", setup_rate)?;
        let off_rate = off_rate.map(|rate| positive("rate of switching off", rate)).transpose()?;
        let all = few(servers)?;
        let moves = |jobs: usize, on: usize| -> Vec<Move> {
            let mut moves = vec![(1, on, arrival_rate)];
            let busy = jobs.min(on);
            if busy > 0 {
                // Off at once: a server that nobody waits for is gone with its last request.
                let left = if off_rate.is_none() { on.min(jobs - 1) } else { on };
                moves.push((-1, left, busy as f64 * service_rate));
            }
            let setting_up = in_setup(setups, jobs, on, all);
            if setting_up > 0 {
                moves.push((0, on + 1, setting_up as f64 * setup_rate));
            }
            if on > jobs {
                // Where they are switched off at once nobody is ever here; the rate only leads out.
                moves.push((0, on - 1, (on - jobs) as f64 * off_rate.unwrap_or(service_rate)));
            }
            moves
        };
        let law = solve(all + 1, all + 1, moves, arrival_rate / service_rate, servers)?;
        Ok(MmcSetup { arrival_rate, servers: all, setups, law })
    }

    /// The mean number of requests present.
    pub fn mean_number(&self) -> Result<f64, TheoryError> {
        self.law.mean_level()
    }

    /// The mean time from arrival to completion.
    pub fn mean_sojourn(&self) -> Result<f64, TheoryError> {
        Ok(self.mean_number()? / self.arrival_rate)
    }

    /// The mean number of servers that are being set up.
    pub fn mean_in_setup(&self) -> Result<f64, TheoryError> {
        self.law.mean(|jobs, on| in_setup(self.setups, jobs, on, self.servers) as f64)
    }

    /// The mean number of servers that are on and idle.
    pub fn mean_idle(&self) -> Result<f64, TheoryError> {
        self.law.mean(|jobs, on| on.saturating_sub(jobs) as f64)
    }

    /// The share of requests that find no idle server.
    pub fn p_wait(&self) -> Result<f64, TheoryError> {
        self.law.mean(|jobs, on| if jobs >= on { 1.0 } else { 0.0 })
    }
}

fn in_setup(setups: Setups, jobs: usize, on: usize, all: usize) -> usize {
    let wanted = jobs.saturating_sub(on).min(all - on);
    if setups == Setups::Staggered { wanted.min(1) } else { wanted }
}

/// Most servers that a chain with a phase for each is followed with.
const MAX_PHASES: u32 = 200;

fn few(servers: u32) -> Result<usize, TheoryError> {
    match servers {
        0 => Err(TheoryError::Invalid { what: "number of servers", must_be: "above 0", value: 0.0 }),
        _ if servers > MAX_PHASES => {
            Err(TheoryError::TooLarge { unit: "servers", limit: MAX_PHASES as usize })
        }
        _ => Ok(servers as usize),
    }
}

fn solve(
    phases: usize,
    regular: usize,
    moves: impl Fn(usize, usize) -> Vec<Move>,
    offered_load: f64,
    servers: u32,
) -> Result<Law, TheoryError> {
    if !chain::is_stable(phases, regular, &moves) {
        return Err(TheoryError::Unstable { offered_load, servers });
    }
    chain::stationary(phases, regular, moves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::Mmc;

    /// Gandhi et al. 2010: one setup at a time adds exactly the mean setup time.
    #[test]
    fn staggered_setups_add_their_mean() {
        let setup = MmcSetup::new(3.2, 1.0, 4, 0.5, Setups::Staggered, None).unwrap();
        let plain = Mmc::new(3.2, 1.0, 4).unwrap();
        assert!((setup.mean_sojourn().unwrap() - (plain.mean_sojourn() + 2.0)).abs() < 1e-9);
    }

    #[test]
    fn servers_that_never_fail_are_the_plain_queue() {
        let servers = MmcBreakdown::new(6.0, 1.0, 8, 0.0, 1.0).unwrap();
        let plain = Mmc::new(6.0, 1.0, 8).unwrap();
        assert!((servers.mean_sojourn().unwrap() - plain.mean_sojourn()).abs() < 1e-9);
        assert!((servers.mean_up().unwrap() - 8.0).abs() < 1e-9);
        let repairs = 0.5;
        assert!(matches!(
            MmcBreakdown::new(6.0, 1.0, 8, repairs, repairs),
            Err(TheoryError::Unstable { .. })
        ));
        assert!(MmcBreakdown::new(1.0, 1.0, 0, 0.1, 0.1).is_err());
    }
}
