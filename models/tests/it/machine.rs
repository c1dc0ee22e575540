//! Machines by themselves: who gets the vCPUs, when bursts are done, and that no CPU time is made or lost.

use proptest::prelude::*;
use scalesim::machine::{
    Burst, Counts, Credits, Kernel, Machine, Policy, Processor, Quota, Scheduler, weight_of_nice,
};
use sim_core::{Span, Time};

pub fn ms(millis: f64) -> Span {
    Span::from_secs_f64(millis / 1e3)
}

pub fn at(millis: f64) -> Time {
    Time::ZERO + ms(millis)
}

fn sliced(vcpus: u32, kernel: Kernel) -> Processor {
    Processor { scheduler: Scheduler::Slices(kernel), ..Processor::plain(vcpus) }
}

/// When each burst is done, in milliseconds. Bursts come at their instants, in order; tasks are numbered from 0.
pub fn play(machine: &mut Machine, bursts: &[(f64, Burst)]) -> Vec<f64> {
    let mut done = vec![f64::NAN; bursts.len()];
    let mut coming = bursts.iter().enumerate().peekable();
    let mut next: Option<Time> = None;
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 5_000_000, "the machine does not come to an end");
        let arrival = coming.peek().map(|(_, (start, _))| at(*start));
        match (arrival, next) {
            (Some(start), due) if due.is_none_or(|due| start < due) => {
                let Some((task, (_, burst))) = coming.next() else { break };
                let changed = machine.start(start, Burst { task: task as u32, ..*burst });
                next = changed.or(next);
            }
            (_, Some(due)) => {
                let progress = machine.progress(due);
                if let Some(task) = progress.finished {
                    done[task as usize] = due.as_secs_f64() * 1e3;
                }
                next = progress.next;
            }
            (_, None) => break,
        }
    }
    assert_eq!(machine.runnable(), 0);
    done
}

pub fn jobs(count: u32, millis: f64) -> Vec<(f64, Burst)> {
    (0..count).map(|job| (0.0, Burst::new(job, ms(millis)))).collect()
}

/// k equal jobs on c vCPUs: all are done at k·w/c under sharing; slices spread them by at most k/c of a slice, and a few
/// more where a job waits for its turn to move.
#[test]
fn equal_jobs_end_together() {
    for (k, c) in [(1, 1), (2, 1), (4, 1), (3, 2), (8, 2), (16, 2), (16, 8)] {
        let work = 438.0;
        let expected = work * f64::from(k.max(c)) / f64::from(c);
        let shared = play(&mut Machine::new(&Processor::plain(c)), &jobs(k, work));
        assert!(shared.iter().all(|done| (done - expected).abs() < 1e-3), "{k} on {c}: {shared:?}");
        let mut machine = Machine::new(&sliced(c, Kernel::IDEAL));
        let done = play(&mut machine, &jobs(k, work));
        let last = done.iter().copied().fold(0.0, f64::max);
        let mean = done.iter().sum::<f64>() / f64::from(k);
        let slack = 4.0 * (f64::from(k) / f64::from(c)).ceil();
        assert!(
            (last - expected).abs() <= slack + 1e-6 || k % c != 0,
            "{k} on {c}: last {last} for {expected}"
        );
        assert!(
            last <= expected * 1.1 && mean >= expected * 0.85,
            "{k} on {c}: mean {mean}, last {last} for {expected}"
        );
        assert!((machine.core_nanos(at(last)) / 1e6 - work * f64::from(k)).abs() < 1e-3);
    }
}

/// One job of 438 ms beside others on one vCPU is switched away from after each tick of 4 ms (measured: 120 times with
/// other work on the machine, 3.65 ms each).
#[test]
fn a_busy_vcpu_switches_once_a_tick() {
    let mut machine = Machine::new(&sliced(1, Kernel::LINUX));
    play(&mut machine, &jobs(4, 438.0));
    let per_job = machine.counts().unwrap().involuntary as f64 / 4.0;
    assert!((per_job - 438.0 / 4.0).abs() < 0.1 * 438.0 / 4.0, "{per_job}");
}

/// k CPU-bound jobs on a vCPU wait (k − 1) slices between two turns. Measured on two vCPUs: 4.08 ms for 2 on one, 12.07 for 4
/// on one, 28.08 for 16 on two.
#[test]
fn turns_are_slices_apart() {
    for (k, c, gap) in [(2u32, 1u32, 4.0), (4, 1, 12.0), (8, 2, 12.0), (16, 2, 28.0)] {
        let mut machine = Machine::new(&sliced(c, Kernel::LINUX));
        let work = 400.0;
        play(&mut machine, &jobs(k, work));
        let counts = machine.counts().unwrap();
        let turns = counts.involuntary as f64 + f64::from(k);
        let waited = counts.waited / 1e6 / turns;
        assert!((waited - gap).abs() < 0.12 * gap, "{k} on {c}: {waited} for {gap}");
    }
}

/// Switches cost capacity: the last of k jobs is late by the share of switching.
#[test]
fn switching_is_paid_for() {
    let kernel = Kernel { switch: Span::from_micros(100), refill: Span::from_micros(300), ..Kernel::LINUX };
    for scheduler in [Scheduler::Slices(kernel), Scheduler::Shares(kernel)] {
        let processor = Processor { scheduler, ..Processor::plain(1) };
        let done = play(&mut Machine::new(&processor), &jobs(4, 400.0));
        let last = done.iter().copied().fold(0.0, f64::max);
        // Slices end at ticks of 4 ms and begin with 0.4 ms of switching; shares count 4 ms of work to 0.4 ms.
        let expected = match scheduler {
            Scheduler::Slices(_) => 1600.0 / (1.0 - 0.4 / 4.0),
            Scheduler::Shares(_) => 1600.0 * (1.0 + 0.4 / 4.0),
        };
        assert!((last - expected).abs() < 0.02 * expected, "{scheduler:?}: {last} for {expected}");
    }
}

#[test]
fn nice_threads_get_less() {
    let light = weight_of_nice(5);
    assert!((light - 0.32768).abs() < 1e-9);
    for scheduler in [
        Scheduler::Shares(Kernel::IDEAL),
        Scheduler::Slices(Kernel::IDEAL),
        Scheduler::Slices(Kernel { policy: Policy::Cfs, ..Kernel::IDEAL }),
    ] {
        let processor = Processor { scheduler, ..Processor::plain(1) };
        let burst = |weight: f64| (0.0, Burst { weight, ..Burst::new(0, ms(1000.0)) });
        let mut bursts = [burst(1.0), burst(light)];
        bursts[1].1.thread = 1;
        let done = play(&mut Machine::new(&processor), &bursts);
        // The heavy one has had its second when the light one has had a third of one.
        assert!((done[0] - 1000.0 * (1.0 + light)).abs() < 40.0, "{scheduler:?}: {done:?}");
        assert!((done[1] - 2000.0).abs() < 1e-3, "{scheduler:?}: {done:?}");
    }
}

/// Threads that cannot use more than one vCPU leave the rest to others.
#[test]
fn what_a_thread_cannot_use_goes_to_others() {
    let mut machine = Machine::new(&Processor::plain(2));
    let heavy = Burst { weight: 10.0, ..Burst::new(0, ms(100.0)) };
    let bursts = [(0.0, heavy), (0.0, Burst::new(1, ms(100.0))), (0.0, Burst::new(2, ms(100.0)))];
    let done = play(&mut machine, &bursts);
    assert!((done[0] - 100.0).abs() < 1e-3, "a vCPU of its own: {done:?}");
    assert!((done[1] - 150.0).abs() < 1e-3, "the other two share one, then have two: {done:?}");
}

/// A browser on every vCPU: the job gets half.
#[test]
fn background_programs_take_their_share() {
    for processor in [Processor::plain(2), sliced(2, Kernel::IDEAL)] {
        let mut machine = Machine::new(&processor);
        machine.add_endless(Time::ZERO, 1.0, None, 2);
        let done =
            play_until(&mut machine, &[(0.0, Burst::new(0, ms(200.0))), (0.0, Burst::new(1, ms(200.0)))]);
        assert!(done.iter().all(|done| (done - 400.0).abs() < 20.0), "{processor:?}: {done:?}");
    }
}

/// As [`play`], where somebody is always runnable.
fn play_until(machine: &mut Machine, bursts: &[(f64, Burst)]) -> Vec<f64> {
    let mut done = vec![f64::NAN; bursts.len()];
    let mut next = None;
    for (task, (start, burst)) in bursts.iter().enumerate() {
        next = machine.start(at(*start), Burst { task: task as u32, ..*burst }).or(next);
    }
    while done.iter().any(|done| done.is_nan()) {
        let due: Time = next.expect("somebody is runnable");
        let progress = machine.progress(due);
        if let Some(task) = progress.finished {
            done[task as usize] = due.as_secs_f64() * 1e3;
        }
        next = progress.next;
    }
    done
}

/// Half a CPU runs for 50 ms and stands still for 50 ms; two threads run for 25.
#[test]
fn a_quota_stops_everybody_until_the_next_period() {
    let quota = |cpus: f64| Some(Quota { cpus, period: Span::from_millis(100) });
    for scheduler in [Scheduler::Shares(Kernel::IDEAL), Scheduler::Slices(Kernel::IDEAL)] {
        let with = |cpus: f64| Processor { quota: quota(cpus), scheduler, ..Processor::plain(2) };
        let one = play(&mut Machine::new(&with(0.5)), &jobs(1, 120.0));
        assert!((one[0] - 220.0).abs() < 1e-3, "{scheduler:?}: {one:?}");
        let two = play(&mut Machine::new(&with(0.5)), &jobs(2, 60.0));
        assert!(two.iter().all(|done| (done - 210.0).abs() < 1e-3), "{scheduler:?}: {two:?}");
        let enough = play(&mut Machine::new(&with(2.0)), &jobs(2, 60.0));
        assert!(enough.iter().all(|done| (done - 60.0).abs() < 1e-3), "{scheduler:?}: {enough:?}");
        // 150 ms a period and two threads: 75 ms, then 25 ms of nothing.
        let more = play(&mut Machine::new(&with(1.5)), &jobs(2, 100.0));
        assert!(more.iter().all(|done| (done - 125.0).abs() < 1e-3), "{scheduler:?}: {more:?}");
    }
}

#[test]
fn without_credits_a_burstable_machine_crawls() {
    let credits = Credits { baseline: 0.4, launch: 0.1, most: 576.0, unlimited: false, surplus_price: 0.0 };
    for scheduler in [Scheduler::Shares(Kernel::IDEAL), Scheduler::Slices(Kernel::IDEAL)] {
        let processor = Processor { credits: Some(credits), scheduler, ..Processor::plain(2) };
        // 6 vCPU seconds are spent at 2 − 0.4 a second: 3.75 s at full speed, the other half second at a fifth of it.
        let done = play(&mut Machine::new(&processor), &jobs(2, 4_250.0));
        assert!(done.iter().all(|done| (done - 6_250.0).abs() < 0.01), "{scheduler:?}: {done:?}");
    }
}

#[test]
fn two_hyper_threads_share_a_core() {
    for scheduler in [Scheduler::Shares(Kernel::IDEAL), Scheduler::Slices(Kernel::IDEAL)] {
        let processor = Processor { threads_per_core: 2, smt_gain: 1.25, scheduler, ..Processor::plain(2) };
        let alone = play(&mut Machine::new(&processor), &jobs(1, 100.0));
        assert!((alone[0] - 100.0).abs() < 1e-3);
        let both = play(&mut Machine::new(&processor), &jobs(2, 100.0));
        assert!(both.iter().all(|done| (done - 160.0).abs() < 1e-3), "{scheduler:?}: {both:?}");
    }
}

/// Pinned threads stay where they are, whoever idles.
#[test]
fn a_pinned_thread_waits_for_its_vcpu() {
    let pinned = |task: u32| (0.0, Burst { pinned: Some(1), ..Burst::new(task, ms(100.0)) });
    let mut machine = Machine::new(&sliced(2, Kernel::IDEAL));
    let done = play(&mut machine, &[pinned(0), pinned(1)]);
    assert!(done.iter().all(|done| *done > 190.0), "{done:?}");
    assert_eq!(machine.counts().unwrap().migrations, 0);
}

/// A thread that goes on at once keeps its vCPU and is not switched.
#[test]
fn a_thread_that_goes_on_is_not_switched() {
    let mut machine = Machine::new(&sliced(1, Kernel { wakeup: Span::ZERO, ..Kernel::LINUX }));
    let mut next = machine.start(at(0.0), Burst { thread: 7, ..Burst::new(0, ms(1.0)) });
    for step in 1..=10u32 {
        let progress = machine.progress(next.unwrap());
        assert_eq!(progress.finished, Some(step - 1));
        next = machine.start(at(f64::from(step)), Burst { thread: 7, ..Burst::new(step, ms(1.0)) });
    }
    let counts = machine.counts().unwrap();
    assert_eq!((counts.voluntary, counts.involuntary, counts.switching), (0, 0, 0.0));
}

/// The sums of what was counted by vCPU and by process.
fn tally_sums(machine: &Machine) -> [Counts; 2] {
    let tally = machine.tally().unwrap();
    let sum = |parts: Vec<Counts>| {
        parts.iter().fold(Counts::default(), |mut sum, counts| {
            sum += *counts;
            sum
        })
    };
    [sum(tally.vcpus), sum([tally.processes, vec![tally.background]].concat())]
}

/// Equal, but for the order in which times were added up.
fn same(a: &Counts, b: &Counts) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (a + b) + 1e-3;
    let events = |counts: &Counts| (counts.voluntary, counts.involuntary, counts.migrations);
    events(a) == events(b)
        && near(a.waited, b.waited)
        && near(a.switching, b.switching)
        && near(a.work, b.work)
}

fn burst_lists() -> impl Strategy<Value = Vec<(f64, Burst)>> {
    let burst = (0.0..200.0f64, 0.01..30.0f64, prop::sample::select(vec![1.0, 1.0, 1.0, 2.0, 0.5]));
    prop::collection::vec(burst, 1..40).prop_map(|mut list| {
        list.sort_by(|a, b| a.0.total_cmp(&b.0));
        let numbered = list.into_iter().zip(0..);
        numbered
            .map(|((start, work, weight), task)| {
                let process = (task % 3) as u16;
                (start, Burst { weight, process, ..Burst::new(task, ms(work)) })
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No CPU time is made or lost: what busy vCPUs did is the work done and the cost of switching.
    #[test]
    fn cpu_time_is_conserved(bursts in burst_lists(), vcpus in 1u32..6, cfs in prop::bool::ANY, smt in 1u32..3) {
        let policy = if cfs { Policy::Cfs } else { Policy::Eevdf };
        let kernel = Kernel { policy, refill: Span::from_micros(20), ..Kernel::LINUX };
        let processor = Processor { threads_per_core: smt, smt_gain: 1.3, ..sliced(vcpus, kernel) };
        let mut machine = Machine::new(&processor);
        let done = play(&mut machine, &bursts);
        prop_assert!(done.iter().all(|done| done.is_finite()));
        let counts = machine.counts().unwrap();
        let asked: f64 = bursts.iter().map(|(_, burst)| burst.demand.as_nanos() as f64).sum();
        prop_assert!((counts.work - asked).abs() < 2.0 * bursts.len() as f64, "{} done of {asked}", counts.work);
        let busy = machine.core_nanos(at(1e6));
        for sum in tally_sums(&machine) {
            prop_assert!(same(&sum, &counts), "{sum:?} for {counts:?}");
        }
        if smt == 1 {
            let sum = counts.work + counts.switching;
            prop_assert!((busy - sum).abs() < 10.0 * bursts.len() as f64 + 1e-9 * sum, "{busy} busy, {sum} explained");
        } else {
            prop_assert!(busy + 1.0 >= counts.work);
        }
        for ((start, burst), done) in bursts.iter().zip(&done) {
            prop_assert!(done - start >= burst.demand.as_secs_f64() * 1e3 - 1e-3, "nobody is faster than alone");
        }
    }

    /// Without ticks no vCPU idles while a thread waits: the machine is busy for as long as sharing without loss keeps one
    /// busy. With ticks one that runs out of work may idle until the next.
    #[test]
    fn work_is_conserved(bursts in burst_lists(), vcpus in 1u32..6) {
        let shared = play(&mut Machine::new(&Processor::plain(1)), &bursts);
        let at_once = Kernel { tick: Span::ZERO, ..Kernel::IDEAL };
        let one = play(&mut Machine::new(&sliced(1, at_once)), &bursts);
        let last = |done: &[f64]| done.iter().copied().fold(0.0, f64::max);
        prop_assert!((last(&shared) - last(&one)).abs() < 1e-3, "{} and {}", last(&shared), last(&one));
        // On several vCPUs any schedule without idling ends within the longest burst of any other.
        let longest = bursts.iter().map(|(_, burst)| burst.demand.as_secs_f64() * 1e3).fold(0.0, f64::max);
        let fluid = last(&play(&mut Machine::new(&Processor::plain(vcpus)), &bursts));
        let sliced = |kernel: Kernel| last(&play(&mut Machine::new(&sliced(vcpus, kernel)), &bursts));
        let (without, with) = (sliced(at_once), sliced(Kernel::IDEAL));
        prop_assert!((fluid - without).abs() <= longest + 1e-3, "{fluid} and {without}");
        let tick = Kernel::IDEAL.tick.as_secs_f64() * 1e3;
        let idle = tick * bursts.len() as f64;
        prop_assert!(with >= fluid - longest - 1e-3 && with <= fluid + longest + idle, "{fluid} and {with}");
    }

    /// As slices go to zero, both schedulers do the same.
    #[test]
    fn short_slices_become_shares(bursts in burst_lists(), weighted in prop::bool::ANY) {
        let bursts: Vec<_> = bursts.into_iter()
            .map(|(start, burst)| (start, Burst { weight: if weighted { burst.weight } else { 1.0 }, ..burst }))
            .collect();
        let shared = play(&mut Machine::new(&Processor::plain(1)), &bursts);
        let off = |slice: u64| {
            let kernel = Kernel { slice: Some(Span::from_micros(slice)), tick: Span::ZERO, ..Kernel::IDEAL };
            let done = play(&mut Machine::new(&sliced(1, kernel)), &bursts);
            done.iter().zip(&shared).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        // Nobody is off by more than some turns of everybody.
        let fine = off(20);
        prop_assert!(fine <= 0.02 * 6.0 * bursts.len() as f64, "{fine} ms off with slices of 20 µs");
    }
}
