//! What switching costs: a byte passed between two threads, and memory walked over in turn.

use std::hint::black_box;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::thread;
use std::time::{Duration, Instant};

use super::data::{Hop, HopPlace, Refill};
use super::pin;

/// Working sets of the refill series, in KiB.
const SETS: [u64; 8] = [0, 64, 256, 512, 1024, 2048, 4096, 8192];
/// Bytes of a cache line on all machines of today but a few.
const LINE: usize = 64;
/// Round trips between two looks at the clock.
const ROUNDS: u32 = 64;

/// Passes a byte to and fro in all forms that can be had here, for `time` each, `repetitions` times.
pub fn hops(repetitions: u32, time: Duration, pinning: bool) -> Vec<Hop> {
    let vcpus = pin::vcpus();
    let first = vcpus.first().copied().filter(|_| pinning);
    let second = vcpus.get(1).copied().filter(|_| pinning);
    let mut forms = vec![(HopPlace::Alone, None), (HopPlace::Anywhere, Some([None, None]))];
    if let Some(first) = first {
        forms.push((HopPlace::SameVcpu, Some([Some(first); 2])));
        if let Some(second) = second {
            forms.push((HopPlace::OtherVcpu, Some([Some(first), Some(second)])));
        }
    }
    let mut hops: Vec<Hop> = forms.iter().map(|form| Hop { place: form.0, nanos: Vec::new() }).collect();
    for _ in 0..repetitions {
        for (hop, form) in hops.iter_mut().zip(&forms) {
            // A repetition that did not work is missing; one that nobody can pin is no reason to stop.
            hop.nanos.extend(match form.1 {
                None => alone(time).ok(),
                Some(places) => round_trips(places, 0, time).ok().map(|trip| trip / 2.0),
            });
        }
    }
    hops
}

/// Nanoseconds of writing a byte to a pipe and reading it back, without a switch.
fn alone(time: Duration) -> io::Result<f64> {
    let (mut reader, mut writer) = pipe()?;
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < time {
        for _ in 0..ROUNDS {
            pass(&mut writer, &mut reader)?;
        }
        count += ROUNDS;
    }
    Ok(began.elapsed().as_nanos() as f64 / f64::from(count.max(1)))
}

fn pass(writer: &mut PipeWriter, reader: &mut PipeReader) -> io::Result<()> {
    writer.write_all(&[1])?;
    reader.read_exact(&mut [0])
}

/// The series of working sets.
pub fn refills(repetitions: u32, time: Duration, pinning: bool) -> Vec<Refill> {
    let first = pin::vcpus().first().copied().filter(|_| pinning);
    let set = |kib: u64| Refill { bytes: kib * 1024, nanos: Vec::new(), pinned: first.is_some() };
    let mut refills: Vec<Refill> = SETS.into_iter().map(set).collect();
    for _ in 0..repetitions {
        for refill in &mut refills {
            let bytes = refill.bytes as usize;
            let warm = thread::spawn(move || walk_alone(first, bytes, time / 2)).join();
            let both = round_trips([first; 2], bytes, time);
            if let (Ok(Some(warm)), Ok(both)) = (warm, both) {
                // A round trip is two switches and two walks.
                refill.nanos.push(both / 2.0 - warm);
            }
        }
    }
    refills
}

/// Nanoseconds of a walk over a working set that is in the cache.
fn walk_alone(vcpu: Option<u32>, bytes: usize, time: Duration) -> Option<f64> {
    if vcpu.is_some_and(|vcpu| !pin::this_thread(vcpu)) {
        return None;
    }
    let mut set = vec![1u8; bytes];
    walk(&mut set);
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < time {
        walk(&mut set);
        count += 1;
    }
    Some(began.elapsed().as_nanos() as f64 / f64::from(count.max(1)))
}

/// Touches every line.
fn walk(set: &mut [u8]) {
    for byte in set.iter_mut().step_by(LINE) {
        *byte = black_box(byte.wrapping_add(1));
    }
}

/// Nanoseconds of a round trip between two threads that each walk over `bytes` before they pass the byte on.
///
/// Whoever stops drops its ends of the pipes, so that the other stops too: nobody waits for ever.
fn round_trips(vcpus: [Option<u32>; 2], bytes: usize, time: Duration) -> io::Result<f64> {
    let (from_ping, to_pong) = pipe()?;
    let (from_pong, to_ping) = pipe()?;
    let pinned = |vcpu: Option<u32>| vcpu.is_none_or(pin::this_thread);
    let pong = thread::Builder::new().name("pong".to_string()).spawn(move || {
        let (mut reader, mut writer) = (from_ping, to_ping);
        let mut set = vec![1u8; bytes];
        if !pinned(vcpus[1]) {
            return;
        }
        while reader.read_exact(&mut [0]).is_ok() {
            walk(&mut set);
            if writer.write_all(&[1]).is_err() {
                return;
            }
        }
    })?;
    let ping = thread::Builder::new().name("ping".to_string()).spawn(move || {
        let (mut reader, mut writer) = (from_pong, to_pong);
        let mut set = vec![1u8; bytes];
        if !pinned(vcpus[0]) {
            return Err(io::Error::other("the thread could not be pinned"));
        }
        for _ in 0..3 {
            pass(&mut writer, &mut reader)?; // both are there, and the sets are in the caches
            walk(&mut set);
        }
        // With large sets a few round trips take as long as many without.
        let rounds = if bytes == 0 { ROUNDS } else { 1 };
        let (began, mut count) = (Instant::now(), 0u32);
        while began.elapsed() < time {
            for _ in 0..rounds {
                walk(&mut set);
                pass(&mut writer, &mut reader)?;
            }
            count += rounds;
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(count.max(1)))
    })?;
    let trip = ping.join();
    let _ = pong.join(); // its pipe is closed by now
    trip.unwrap_or_else(|_| Err(io::Error::other("the thread ended early")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_end_and_take_time() {
        for hop in hops(1, Duration::from_millis(5), pin::possible()) {
            assert!(hop.nanos.iter().all(|&nanos| nanos > 0.0 && nanos < 1e8), "{hop:?}");
        }
    }
}
