//! What may be used of a machine's vCPUs over time: a quota for each period, credits; and when nothing may.
//!
//! Both are stopwatches over vCPU time used. Between two changes of what is wanted they run linearly, so the instant at
//! which one runs out is known in advance, and nothing happens at the ends of periods in which it does not.

use sim_core::{Span, Time};

use super::processor::{Credits, Processor, Quota};

/// vCPU nanoseconds of one credit: a minute.
const CREDIT: f64 = 60e9;
/// What is left below this counts as nothing: a nanosecond's rounding of each vCPU.
const NOTHING: f64 = 64.0;

/// The stopwatches of one machine.
#[derive(Clone, Debug)]
pub struct Supply {
    quota: Option<QuotaWatch>,
    credits: Option<CreditWatch>,
    /// Nothing runs until then.
    stopped_until: Time,
}

#[derive(Clone, Debug)]
struct QuotaWatch {
    /// vCPU nanoseconds a period.
    most: f64,
    period: Span,
    /// The start of the period that `used` is about.
    opened: Time,
    used: f64,
    /// Nothing may run until then.
    throttled_until: Time,
    throttled: u64,
}

#[derive(Clone, Debug)]
struct CreditWatch {
    terms: Credits,
    /// vCPU nanoseconds; below zero where an unlimited machine has borrowed.
    balance: f64,
    /// vCPU nanoseconds beyond what can be borrowed against.
    charged: f64,
}

impl Supply {
    /// The stopwatches of a machine that starts now; `None` for one that may always use all it has.
    pub fn new(processor: &Processor) -> Option<Box<Supply>> {
        let quota = processor.quota.map(|Quota { cpus, period }| QuotaWatch {
            most: cpus * period.as_nanos() as f64,
            period,
            opened: Time::ZERO,
            used: 0.0,
            throttled_until: Time::ZERO,
            throttled: 0,
        });
        let credits = processor.credits.map(|terms| CreditWatch {
            terms,
            balance: terms.launch * CREDIT,
            charged: 0.0,
        });
        let stopped_until = Time::ZERO;
        (quota.is_some() || credits.is_some()).then(|| Box::new(Supply { quota, credits, stopped_until }))
    }

    /// Of a machine that may always use all it has, unless it is stopped.
    pub fn unlimited() -> Box<Supply> {
        Box::new(Supply { quota: None, credits: None, stopped_until: Time::ZERO })
    }

    /// Nothing runs until then. What is stopped already stays so for as long as it was told.
    pub fn stop(&mut self, until: Time) {
        self.stopped_until = self.stopped_until.max(until);
    }

    /// `vcpus` were in use from `from` to `to`, over which nothing ran out before its end.
    pub fn spend(&mut self, from: Time, to: Time, vcpus: f64) {
        if let Some(quota) = &mut self.quota {
            quota.open(to);
            let since = from.max(quota.opened);
            quota.used += vcpus * to.since(since).as_nanos() as f64;
            if quota.used + NOTHING >= quota.most && to >= quota.throttled_until {
                quota.throttled_until = quota.opened + quota.period;
                quota.throttled += 1;
            }
        }
        if let Some(credits) = &mut self.credits {
            let elapsed = to.since(from).as_nanos() as f64;
            credits.settle(elapsed, vcpus);
        }
    }

    /// How many of `wanted` vCPUs may be used at `now`.
    pub fn allowed(&self, now: Time, wanted: f64) -> f64 {
        let throttled = self.quota.as_ref().is_some_and(|quota| now < quota.throttled_until);
        if throttled || now < self.stopped_until {
            return 0.0;
        }
        match &self.credits {
            Some(credits) if credits.empty() => wanted.min(credits.terms.baseline),
            _ => wanted,
        }
    }

    /// When that changes if `vcpus` are in use from `now` on; [`Time::NEVER`] if it does not.
    pub fn next_change(&self, now: Time, vcpus: f64) -> Time {
        if now < self.stopped_until {
            return self.stopped_until;
        }
        let quota = self.quota.as_ref().map_or(Time::NEVER, |quota| quota.next_change(now, vcpus));
        let credits = self.credits.as_ref().map_or(Time::NEVER, |credits| credits.next_change(now, vcpus));
        quota.min(credits)
    }

    /// True where credits are used up, so that the machine runs at its baseline.
    pub fn is_empty(&self) -> bool {
        self.credits.as_ref().is_some_and(CreditWatch::empty)
    }

    /// How often the quota ran out.
    pub fn throttled(&self) -> u64 {
        self.quota.as_ref().map_or(0, |quota| quota.throttled)
    }

    /// Credits that are left; below zero what was borrowed. `None` where there are none.
    pub fn credits(&self) -> Option<f64> {
        self.credits.as_ref().map(|credits| credits.balance / CREDIT)
    }

    /// vCPU hours that an unlimited machine has to pay for if it ends now: what it borrowed and did not earn.
    pub fn surplus_hours(&self) -> f64 {
        self.credits
            .as_ref()
            .map_or(0.0, |credits| (credits.charged + (-credits.balance).max(0.0)) / (60.0 * CREDIT))
    }
}

impl QuotaWatch {
    /// Turns to the period that holds `now`. Periods count from time zero.
    fn open(&mut self, now: Time) {
        let period = self.period.as_nanos().max(1);
        let start = Time::from_nanos(now.as_nanos() / period * period);
        if start > self.opened {
            self.opened = start;
            self.used = 0.0;
        }
    }

    fn next_change(&self, now: Time, vcpus: f64) -> Time {
        if now < self.throttled_until {
            return self.throttled_until;
        }
        if vcpus <= 0.0 {
            return Time::NEVER;
        }
        let edge = self.opened + self.period;
        let (left, used) = if now < edge { (edge.since(now), self.used) } else { (Span::ZERO, self.most) };
        let until_empty = (self.most - used).max(0.0) / vcpus;
        if until_empty < left.as_nanos() as f64 {
            return now + Span::from_nanos_f64(until_empty.max(1.0));
        }
        // In whole periods from the edge on.
        let in_period = self.most / vcpus;
        if in_period < self.period.as_nanos() as f64 {
            edge.max(now) + Span::from_nanos_f64(in_period.max(1.0))
        } else {
            Time::NEVER
        }
    }
}

impl CreditWatch {
    /// Credits come in all the time, and a vCPU that is in use spends one a minute.
    fn settle(&mut self, elapsed: f64, vcpus: f64) {
        let most = self.terms.most * CREDIT;
        self.balance = (self.balance + elapsed * (self.terms.baseline - vcpus)).min(most);
        if self.terms.unlimited {
            // Surplus beyond a day's earning is charged at once.
            let beyond = (-most - self.balance).max(0.0);
            self.charged += beyond;
            self.balance += beyond;
        } else {
            self.balance = self.balance.max(0.0);
        }
    }

    fn empty(&self) -> bool {
        !self.terms.unlimited && self.balance <= NOTHING
    }

    fn next_change(&self, now: Time, vcpus: f64) -> Time {
        let spending = vcpus - self.terms.baseline;
        if self.terms.unlimited || spending <= 1e-12 || self.empty() {
            return Time::NEVER;
        }
        now + Span::from_nanos_f64((self.balance / spending).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    fn half_a_cpu() -> Box<Supply> {
        let quota = Some(Quota { cpus: 0.5, period: Span::from_millis(100) });
        Supply::new(&Processor { quota, ..Processor::plain(2) }).expect("it has a quota")
    }

    #[test]
    fn a_quota_is_a_stopwatch() {
        let mut supply = half_a_cpu();
        assert_eq!(supply.next_change(ms(0), 1.0), ms(50));
        assert_eq!(supply.next_change(ms(0), 2.0), ms(25));
        supply.spend(ms(0), ms(50), 1.0);
        assert_eq!(supply.allowed(ms(50), 1.0), 0.0);
        assert_eq!(supply.next_change(ms(50), 0.0), ms(100));
        assert_eq!((supply.allowed(ms(100), 1.0), supply.throttled()), (1.0, 1));
        supply.spend(ms(50), ms(100), 0.0);
        assert_eq!(supply.next_change(ms(100), 1.0), ms(150));
    }

    #[test]
    fn what_is_left_of_a_period_is_lost() {
        let mut supply = half_a_cpu();
        supply.spend(ms(0), ms(20), 1.0);
        supply.spend(ms(20), ms(90), 0.0);
        // 30 ms are left of this period's 50 and 10 ms of time: from the edge on there are 50 again.
        assert_eq!(supply.next_change(ms(90), 1.0), ms(150));
        assert_eq!(supply.next_change(ms(90), 0.25), Time::NEVER);
    }

    #[test]
    fn credits_run_out_and_come_back() {
        let terms =
            Credits { baseline: 0.4, launch: 1.0, most: 576.0, unlimited: false, surplus_price: 0.05 };
        let processor = Processor { credits: Some(terms), ..Processor::plain(2) };
        let mut supply = Supply::new(&processor).expect("it has credits");
        // Two busy vCPUs spend 1.6 a minute more than they earn.
        assert_eq!(supply.next_change(ms(0), 2.0), ms(37_500));
        supply.spend(ms(0), ms(37_500), 2.0);
        assert_eq!(supply.allowed(ms(37_500), 2.0), 0.4);
        supply.spend(ms(37_500), ms(97_500), 0.0);
        assert!((supply.credits().unwrap_or(0.0) - 0.4).abs() < 1e-6);
        assert_eq!(supply.allowed(ms(97_500), 2.0), 2.0);
    }

    #[test]
    fn unlimited_machines_pay_for_what_they_borrow() {
        let terms = Credits { baseline: 0.4, launch: 0.0, most: 576.0, unlimited: true, surplus_price: 0.05 };
        let processor = Processor { credits: Some(terms), ..Processor::plain(2) };
        let mut supply = Supply::new(&processor).expect("it has credits");
        assert_eq!((supply.allowed(ms(0), 2.0), supply.next_change(ms(0), 2.0)), (2.0, Time::NEVER));
        supply.spend(ms(0), ms(3_600_000), 2.0);
        assert!((supply.surplus_hours() - 1.6).abs() < 1e-9, "{}", supply.surplus_hours());
        supply.spend(ms(3_600_000), ms(7_200_000), 0.0);
        assert!((supply.surplus_hours() - 1.2).abs() < 1e-9, "idle hours earn it back");
    }
}
