//! Load on a server: requests at stated instants, whether or not those before are answered (an open loop), or as many as
//! it takes (a closed one).
//!
//! One thread sends, another receives. Response times count from the instant at which a request should have been sent:
//! a server that stands still does not hold up those who come meanwhile, and no request that it delays is left out
//! ("coordinated omission", Tene 2015).

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use sim_core::Seed;
use sim_core::chance::below;

use super::connections::{Kept, Received, STILL, Shared};
use super::data::Connections;
use super::target::Target;
use crate::validate::pin;

/// How long the receiver waits before it looks whether all is over.
const LOOK: Duration = Duration::from_millis(20);

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Due {
    /// When, after the start.
    pub at: Duration,
    /// What for.
    pub path: String,
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// From when it was due to the last byte of the response; `None` where there was none, or another than 200.
    pub time: Option<Duration>,
    /// How late it was sent.
    pub late: Duration,
    /// What the server says its handler took, in nanoseconds.
    pub handler: Option<f64>,
}

/// A load that is over.
#[derive(Debug, Default)]
pub struct Load {
    /// By request.
    pub answers: Vec<Answer>,
    /// The most connections that were open.
    pub connections: usize,
    /// Requests that another worker got.
    pub rerouted: u64,
}

/// Puts a load on a server. `stop` ends it early.
pub fn play(
    target: &Target,
    how: Connections,
    kept: Kept,
    due: &[Due],
    seed: u64,
    stop: &AtomicBool,
) -> Result<Load, String> {
    let mut poll = Poll::new().map_err(|error| error.to_string())?;
    let shared = Shared::new(target, how, kept, &poll)?;
    let start = Instant::now() + Duration::from_millis(20);
    let (sent, received) = thread::scope(|scope| {
        let receiver = thread::Builder::new().spawn_scoped(scope, || {
            first_in_line(target.load_vcpu);
            receive(&shared, &mut poll)
        });
        let sender = thread::Builder::new().spawn_scoped(scope, || {
            first_in_line(target.load_vcpu);
            let sent = send(&shared, due, start, seed, stop);
            shared.sent_all.store(true, Ordering::Release);
            sent
        });
        let sent = sender.map(|thread| thread.join().unwrap_or_default());
        if sent.is_err() {
            shared.sent_all.store(true, Ordering::Release);
        }
        (sent, receiver.map(|thread| thread.join().unwrap_or_default()))
    });
    let (sent, received) = sent
        .and_then(|sent| Ok((sent, received?)))
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    if let Some(why) = shared.trouble.lock().ok().and_then(|mut trouble| trouble.take()) {
        let (asked, got) = (sent.len(), received.iter().filter(|answer| answer.ok).count());
        return Err(format!(
            "{} {why}, after {asked} of {} requests, {got} of them answered",
            target.name,
            due.len()
        ));
    }
    let mut answers: Vec<Answer> =
        sent.into_iter().map(|late| Answer { late, ..Answer::default() }).collect();
    for Received { request, at, ok, handler, .. } in received {
        if let (Some(answer), Some(due)) = (answers.get_mut(request), due.get(request)) {
            answer.time = ok.then(|| at.saturating_duration_since(start + due.at));
            answer.handler = handler;
        }
    }
    Ok(Load { answers, connections: shared.most_open(), rerouted: shared.rerouted.load(Ordering::Relaxed) })
}

/// Sends each request at its instant. Returns how late each was.
fn send(shared: &Shared<'_>, due: &[Due], start: Instant, seed: u64, stop: &AtomicBool) -> Vec<Duration> {
    let mut late = Vec::with_capacity(due.len());
    let mut choices = Seed::new(seed).stream("validate/server/connections");
    for (request, due) in due.iter().enumerate() {
        let at = start + due.at;
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) || shared.in_trouble() {
            break;
        }
        late.push(Instant::now().saturating_duration_since(at));
        let worker = below(&mut choices, shared.workers()) as usize;
        if let Err(why) = shared.send(request, &due.path, worker) {
            shared.report(why);
            break;
        }
    }
    late
}

/// Receives until all is sent and answered, or the server stands still.
fn receive(shared: &Shared<'_>, poll: &mut Poll) -> Vec<Received> {
    let mut events = Events::with_capacity(1024);
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    let mut received = Vec::new();
    let mut last = Instant::now();
    loop {
        match poll.poll(&mut events, Some(LOOK)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                shared.report(format!("cannot be watched ({error})"));
                return received;
            }
        }
        for event in &events {
            let slot = event.token().0;
            if inputs.len() <= slot {
                inputs.resize(slot + 1, Vec::new());
            }
            if let Some(answer) = shared.read(slot, &mut inputs[slot]) {
                received.push(answer);
                last = Instant::now();
            }
        }
        let waiting = shared.waiting.load(Ordering::Acquire);
        if waiting == 0 {
            last = Instant::now();
        }
        if shared.in_trouble() || (waiting == 0 && shared.sent_all.load(Ordering::Acquire)) {
            return received;
        }
        if last.elapsed() > STILL {
            shared.report(shared.still());
        }
    }
}

/// `"nanos":123` of a body.
pub fn handler_nanos(body: &[u8]) -> Option<f64> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value.get("nanos")?.as_f64()
}

/// Requests that were answered per second, with `parallel` on the way all the time, without the first fifth of the time;
/// and how many there were in all.
pub fn saturate(
    target: &Target,
    how: Connections,
    kept: Kept,
    path: &str,
    parallel: usize,
    time: Duration,
) -> Result<(f64, u32), String> {
    let mut poll = Poll::new().map_err(|error| error.to_string())?;
    let shared = Shared::new(target, how, kept, &poll)?;
    let measured = thread::scope(|scope| {
        // In a thread of its own, which alone has the priority.
        let loaded = thread::Builder::new().spawn_scoped(scope, || {
            first_in_line(target.load_vcpu);
            closed_loop(&shared, &mut poll, path, parallel, time)
        });
        let ended = || Err("cannot be put under load".to_string());
        loaded.map_or_else(|_| ended(), |thread| thread.join().unwrap_or_else(|_| ended()))
    });
    measured.map_err(|why| format!("{} {why}", target.name))
}

fn closed_loop(
    shared: &Shared<'_>,
    poll: &mut Poll,
    path: &str,
    parallel: usize,
    time: Duration,
) -> Result<(f64, u32), String> {
    let begin = Instant::now();
    let (from, until) = (begin + time / 5, begin + time);
    let (mut events, mut inputs) = (Events::with_capacity(1024), Vec::<Vec<u8>>::new());
    let (mut first, mut count, mut all, mut last) = (None, 0u32, 0u32, begin);
    for request in 0..parallel {
        shared.send(request, path, request % shared.workers() as usize)?;
    }
    while last < until {
        poll.poll(&mut events, Some(LOOK)).or_else(|error| match error.kind() {
            ErrorKind::Interrupted => Ok(()),
            _ => Err(format!("cannot be watched ({error})")),
        })?;
        for event in &events {
            let slot = event.token().0;
            inputs.resize(inputs.len().max(slot + 1), Vec::new());
            let Some(answer) = shared.read(slot, &mut inputs[slot]) else { continue };
            if !answer.ok {
                return Err(format!("fails with {parallel} requests at a time"));
            }
            shared.send(answer.request, path, answer.worker)?;
            last = answer.at;
            all += 1;
            // Counted from the first answer after the fifth, so that no part of one is.
            count += u32::from(first.is_some());
            if last >= from {
                first.get_or_insert(last);
            }
        }
        if begin.elapsed() > time + STILL {
            return Err(shared.still());
        }
    }
    let span = first.map_or(0.0, |first: Instant| last.duration_since(first).as_secs_f64());
    if count < 3 || span <= 0.0 {
        return Err(format!(
            "answers too slowly to be measured: {count} requests in {} s",
            time.as_secs_f64()
        ));
    }
    Ok((f64::from(count) / span, all))
}

/// Asks for this thread to run on the vCPU that is kept for the load, or before all others, so that the load does not wait
/// for the server: a real-time priority, else the best nice value. Who may have neither goes on without: how late requests
/// are is measured.
fn first_in_line(vcpu: Option<u32>) {
    if vcpu.is_some_and(pin::this_thread) {
        return;
    }
    #[cfg(target_os = "linux")]
    if let Some(id) = pin::thread_id() {
        use std::process::{Command, Stdio};
        let asked = |program: &str, options: &[&str]| {
            let mut ask = Command::new(program);
            ask.args(options).arg(&id).stdout(Stdio::null()).stderr(Stdio::null());
            ask.status().is_ok_and(|status| status.success())
        };
        let _ = asked("chrt", &["-f", "-p", "1"]) || asked("renice", &["-n", "-20", "-p"]);
    }
}
