//! What Linux tells about threads, the machine and its scheduler without privileges: files under `/proc` and `/sys`.
//!
//! On other systems everything here is `None`, and [`facts`] says what that means.

use std::fs;

use super::data::{Counters, Facts};
use super::pin;

/// The kernel's counters of the calling thread.
pub fn of_this_thread() -> Counters {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let before = schedstat();
    // The kernel brings the time on the vCPU up to date when the scheduler is entered, else only at ticks. Waiting
    // that comes from entering it is not the job's: that was read before.
    std::thread::yield_now();
    let after = schedstat();
    Counters {
        on_cpu: after.map(|values| values[0]),
        delay: before.map(|values| values[1]),
        turns: before.map(|values| values[2]),
        voluntary: line(&status, "voluntary_ctxt_switches").and_then(|value| value.parse().ok()),
        involuntary: line(&status, "nonvoluntary_ctxt_switches").and_then(|value| value.parse().ok()),
    }
}

/// Nanoseconds on a vCPU, nanoseconds waiting for one, turns.
fn schedstat() -> Option<[u64; 3]> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut values = text.split_whitespace().map(|value| value.parse().ok());
    Some([values.next()??, values.next()??, values.next()??])
}

impl Counters {
    /// What was counted since `earlier`.
    pub fn since(self, earlier: Counters) -> Counters {
        let less = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Counters {
            on_cpu: less(self.on_cpu, earlier.on_cpu),
            delay: less(self.delay, earlier.delay),
            turns: less(self.turns, earlier.turns),
            voluntary: less(self.voluntary, earlier.voluntary),
            involuntary: less(self.involuntary, earlier.involuntary),
        }
    }
}

/// The value of a `name: value` line.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

/// Time of all vCPUs together, in ticks of `/proc/stat` (a hundredth of a second).
#[derive(Clone, Copy, Debug)]
pub struct MachineTime {
    busy: u64,
    steal: u64,
    total: u64,
}

/// Nanoseconds of a tick of `/proc/stat`: `USER_HZ` is 100 on every Linux that Rust's standard library runs on.
const STAT_TICK: f64 = 1e7;

impl MachineTime {
    /// As it stands.
    pub fn now() -> Option<MachineTime> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let values: Vec<u64> = text
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .map_while(|value| value.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; guest time is part of user time.
        let [user, nice, system, idle, iowait, irq, softirq, steal] = *values.first_chunk::<8>()?;
        let busy = user + nice + system + irq + softirq;
        Some(MachineTime { busy, steal, total: busy + idle + iowait + steal })
    }

    /// The shares of the machine that went to others and to the hypervisor since `earlier`, where `own` nanoseconds
    /// were the jobs'.
    pub fn shares_since(self, earlier: MachineTime, own: f64) -> Option<(f64, f64)> {
        let total = self.total.saturating_sub(earlier.total) as f64 * STAT_TICK;
        let busy = self.busy.saturating_sub(earlier.busy) as f64 * STAT_TICK;
        let steal = self.steal.saturating_sub(earlier.steal) as f64 * STAT_TICK;
        (total > 0.0).then(|| (((busy - own) / total).max(0.0), steal / total))
    }
}

/// CPU time of this process without those that it started, in nanoseconds; threads that have ended are included.
pub fn of_this_process() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    Some(stat(&text)?.1 as f64 * STAT_TICK)
}

/// The parent of a process and its CPU time, from its `stat`.
fn stat(text: &str) -> Option<(u32, u64)> {
    // Behind the name, which may have blanks in it: state, parent, and 11th and 12th from there user and system time.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((number(1)? as u32, number(11)? + number(12)?))
}

/// CPU time of these processes and all that they started, in nanoseconds; `None` where the kernel does not tell.
pub fn of_processes(roots: &[u32]) -> Option<f64> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile has none.
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((parent, time)) = stat(&text) {
            found.push((number, parent, time));
        }
    }
    let mut family = roots.to_vec();
    let mut known = 0;
    // Children of those that were found last, until there are none.
    while known < family.len() {
        let parents = known..family.len();
        known = family.len();
        let children: Vec<u32> = found
            .iter()
            .filter(|(_, parent, _)| family[parents.clone()].contains(parent))
            .map(|own| own.0)
            .collect();
        family.extend(children.into_iter().filter(|child| !roots.contains(child)));
    }
    let ticks: u64 = found.iter().filter(|(number, ..)| family.contains(number)).map(|own| own.2).sum();
    Some(ticks as f64 * STAT_TICK)
}

/// What is known about this machine, and what is not.
pub fn facts() -> Facts {
    let read = |path: &str| fs::read_to_string(path).ok();
    let mut missing = Vec::new();
    let slice = read("/proc/self/sched").and_then(|text| line(&text, "se.slice")?.parse().ok());
    if slice.is_none() {
        missing
            .push("the scheduler's slice is not told (`/proc/self/sched`): the usual one is assumed".into());
    }
    if schedstat().is_none() {
        missing.push(
            "time on a vCPU and waiting for one is not told (`/proc/thread-self/schedstat`): only clocks are used, \
             and whether other programs disturb cannot be seen"
                .into(),
        );
    }
    if of_this_thread().involuntary.is_none() {
        missing.push("switches are not counted (`/proc/thread-self/status`): they are not judged".into());
    }
    if MachineTime::now().is_none() {
        missing.push("load of other programs and steal are not told (`/proc/stat`)".into());
    }
    let pinning = pin::possible();
    if !pinning {
        missing.push(
            "`taskset` is not there: pinned runs are left out (it is in the package util-linux)".into(),
        );
    }
    Facts {
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        kernel: read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_string()),
        processor: read("/proc/cpuinfo").and_then(|text| line(&text, "model name").map(str::to_string)),
        vcpus: pin::vcpus().len() as u32,
        threads_per_core: read("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
            .map(|text| pin::parse_list(&text).len().max(1) as u32),
        memory: read("/proc/meminfo").and_then(|text| {
            let kib: u64 = line(&text, "MemTotal")?.split_whitespace().next()?.parse().ok()?;
            Some(kib * 1024)
        }),
        slice,
        pinning,
        missing,
    }
}
