//! Pre-forked workers: processes that share one listener, each an event loop.
//!
//! A worker is this program again. It finds the listener where its standard output would be, and its standard input ends
//! when the process that started it does: whatever ends that one ends the workers.

use std::io;
use std::net::TcpListener;

use clap::Args;

use crate::Failure;

/// What a worker is told.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// What `GET /` answers.
    about: String,
}

/// Starts the workers and waits for them.
#[cfg(unix)]
pub fn run(listener: TcpListener, about: &str, workers: u32) -> io::Result<()> {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    let program = std::env::current_exe()?;
    let listener = OwnedFd::from(listener);
    let mut started = Vec::new();
    for _ in 0..workers {
        started.push(
            Command::new(&program)
                .args(["serve-worker", about])
                .stdin(Stdio::piped())
                .stdout(Stdio::from(listener.try_clone()?))
                .spawn()?,
        );
    }
    for mut worker in started {
        // Taking the input before waiting would end the worker: it is held here.
        let input = worker.stdin.take();
        let ended = worker.wait()?;
        drop(input);
        if !ended.success() {
            return Err(io::Error::other(format!("a worker ended: {ended}")));
        }
    }
    Ok(())
}

/// A worker process.
#[cfg(unix)]
pub fn worker(args: &WorkerArgs) -> Result<u8, Failure> {
    use std::io::{Read, stdin, stdout};
    use std::os::fd::AsFd;

    let listener = TcpListener::from(stdout().as_fd().try_clone_to_owned()?);
    if listener.local_addr().is_err() {
        return Err(Failure::Usage(
            "this command is a part of `scalesim serve processes`, which gives it a listener".to_string(),
        ));
    }
    std::thread::spawn(|| {
        let _ = stdin().read(&mut [0]);
        std::process::exit(i32::from(crate::exit::OK));
    });
    super::event_loop::run(listener, &args.about)?;
    Ok(crate::exit::OK)
}

#[cfg(not(unix))]
pub fn run(_: TcpListener, _: &str, _: u32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "processes cannot share a listener on this system"))
}

#[cfg(not(unix))]
pub fn worker(_: &WorkerArgs) -> Result<u8, Failure> {
    Err(Failure::Usage("processes cannot share a listener on this system".to_string()))
}
