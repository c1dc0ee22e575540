//! Ratios in one run: the kernel against the same work by hand and, with `--features peers`, on other simulators. Rounds
//! alternate, and medians are compared, so that a busy machine spoils neither side alone.

use std::time::Instant;

use scalesim_benches::{by_hand, kernel, system};

const ROUNDS: usize = 7;

type Work = (String, f64, Box<dyn Fn()>);

fn main() {
    // `ratios system` measures the whole system alone.
    if std::env::args().nth(1).as_deref() == Some("system") {
        return whole_system();
    }
    let customers = 2_000_000u64;
    for (servers, name) in [(1, "M/M/1"), (8, "M/M/8")] {
        #[cfg_attr(not(feature = "peers"), expect(unused_mut, reason = "peers are pushed to it"))]
        let mut work = vec![
            item("by hand", customers, move || by_hand::fifo(servers, customers)),
            item("sim-core", customers, move || kernel::fifo(servers, customers)),
        ];
        #[cfg(feature = "peers")]
        for (peer, run) in scalesim_benches::peers::ALL {
            let fewer = customers / 5;
            work.push(item(peer, fewer, move || run(servers, fewer)));
        }
        compare(name, "M customers/s", &work);
    }
    let sharing = [
        item("by hand", customers, move || by_hand::sharing(customers)),
        item("sim-core", customers, move || kernel::sharing(customers)),
    ];
    compare("M/M/1-PS", "M customers/s", &sharing);
    for pending in [10, 1_000, 100_000, 1_000_000] {
        let steps = 2_000_000;
        let hold = [
            item("bare 4-ary heap", steps, move || by_hand::hold(pending, steps) as f64),
            item("sim-core", steps, move || kernel::hold(pending, steps) as f64),
            item("sim-core's heap", steps, move || kernel::heap(pending, steps) as f64),
            item("std BinaryHeap", steps, move || by_hand::hold_std(pending, steps) as f64),
        ];
        compare(&format!("hold, {pending} pending"), "M holds/s", &hold);
    }
    let machine = [
        item("shares, bursts", customers, move || kernel::bursts(customers) as f64),
        item("slices, quanta", customers, move || kernel::quanta(customers) as f64),
    ];
    compare("machine, 64 runnable on 8 vCPUs", "M/s", &machine);
    whole_system();
}

fn whole_system() {
    let work = [("one burst, one wait", system::ONE_BURST), ("burst, wait, burst", system::TWO_BURSTS)];
    let work = work.map(|(name, steps)| {
        let scenario = system::fifty_instances(steps, "shares", 20.0);
        let requests = system::requests(&scenario);
        item(name, requests, move || system::requests(&scenario) as f64)
    });
    compare("whole system, 50 instances of 8 cores", "M requests/s", &work);
    let evening = ["shares", "slices"].map(|scheduler| {
        let scenario = system::evening(scheduler);
        let requests = system::requests(&scenario);
        item(scheduler, requests, move || system::requests(&scenario) as f64)
    });
    compare("evening of the day cycle, with the flash crowd", "M requests/s", &evening);
}

fn item(name: &str, amount: u64, run: impl Fn() -> f64 + 'static) -> Work {
    (name.to_string(), amount as f64, Box::new(move || drop(std::hint::black_box(run()).to_string())))
}

fn compare(title: &str, unit: &str, work: &[Work]) {
    let mut seconds = vec![Vec::new(); work.len()];
    for _ in 0..ROUNDS {
        for ((.., run), seconds) in work.iter().zip(&mut seconds) {
            let start = Instant::now();
            run();
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let rates: Vec<f64> = work
        .iter()
        .zip(&mut seconds)
        .map(|((_, amount, _), seconds)| {
            seconds.sort_by(f64::total_cmp);
            amount / seconds[ROUNDS / 2] / 1e6
        })
        .collect();
    println!("{title}");
    for ((name, ..), rate) in work.iter().zip(&rates) {
        println!("  {name:<18} {rate:>8.2} {unit}   {:>5.2} × the time of {}", rates[0] / rate, work[0].0);
    }
}
