//! The connections of a load: opening them, sending on one that idles, reading what comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Poll, Registry, Token};

use super::data::Connections;
use super::load::handler_nanos;
use super::target::{self, Target};
use crate::http;

/// Connections that a load opens at most.
const MOST_CONNECTIONS: usize = 1_024;
/// How long a server may stand still.
pub const STILL: Duration = Duration::from_secs(10);
/// No request.
const NONE: usize = usize::MAX;

/// Connections to a server, each with the number of its worker.
pub struct Kept(Vec<(StdStream, usize)>);

impl Kept {
    /// Opens so many to a server of one process.
    pub fn to_one(target: &Target, count: usize) -> io::Result<Kept> {
        let open = (0..count).map(|_| Ok((StdStream::connect_timeout(&target.address, STILL)?, 0)));
        Ok(Kept(open.collect::<io::Result<_>>()?))
    }

    /// Opens so many, asks each which process it leads to, and keeps as many to each of them: what is judged is the
    /// queue, and not the luck of who accepted. Also says how many each process had.
    pub fn to_several(target: &Target, count: usize, pids: &mut Vec<u32>) -> io::Result<(Kept, Vec<u32>)> {
        let mut open = Vec::new();
        for _ in 0..count {
            let mut stream = StdStream::connect_timeout(&target.address, STILL)?;
            let response = target.ask(&mut stream, "/pid")?;
            let worker =
                target::pid(&response).map_or(0, |pid| match pids.iter().position(|&other| other == pid) {
                    Some(at) => at,
                    None => {
                        pids.push(pid);
                        pids.len() - 1
                    }
                });
            if !response.close {
                open.push((stream, worker));
            }
        }
        let counts: Vec<u32> = (0..pids.len().max(1))
            .map(|at| open.iter().filter(|(_, worker)| *worker == at).count() as u32)
            .collect();
        let even = counts.iter().copied().filter(|&count| count > 0).min().unwrap_or(0);
        let mut taken = vec![0; counts.len()];
        open.retain(|&(_, worker)| {
            taken[worker] += 1;
            taken[worker] <= even
        });
        Ok((Kept(open), counts))
    }

    /// No connection: each request opens one.
    pub fn none() -> Kept {
        Kept(Vec::new())
    }
}

struct Connection {
    stream: TcpStream,
    worker: usize,
    /// The request that it waits for.
    request: AtomicUsize,
}

#[derive(Default)]
struct Table {
    slots: Vec<Option<Arc<Connection>>>,
    free: Vec<usize>,
    /// Idle connections, by worker.
    idle: Vec<Vec<usize>>,
    open: usize,
    most: usize,
}

/// What sender and receiver share.
pub struct Shared<'a> {
    target: &'a Target,
    how: Connections,
    registry: Registry,
    table: Mutex<Table>,
    /// Requests that were sent and not answered.
    pub waiting: AtomicUsize,
    /// Requests that another worker got than was drawn for them.
    pub rerouted: AtomicU64,
    /// There are no more to send.
    pub sent_all: AtomicBool,
    /// Why the load has to end.
    pub trouble: Mutex<Option<String>>,
}

/// A response, or the end of its connection.
pub struct Received {
    /// Which request.
    pub request: usize,
    /// The worker of its connection.
    pub worker: usize,
    /// When.
    pub at: Instant,
    /// It was answered with 200.
    pub ok: bool,
    /// What the server says its handler took, in nanoseconds.
    pub handler: Option<f64>,
}

impl<'a> Shared<'a> {
    /// Takes over what is kept open.
    pub fn new(target: &'a Target, how: Connections, kept: Kept, poll: &Poll) -> Result<Self, String> {
        let registry = poll.registry().try_clone().map_err(|error| error.to_string())?;
        let shared = Shared {
            target,
            how,
            registry,
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
            rerouted: AtomicU64::new(0),
            sent_all: AtomicBool::new(false),
            trouble: Mutex::default(),
        };
        for (stream, worker) in kept.0 {
            let slot = shared.add(stream, worker)?;
            if let Ok(mut table) = shared.table.lock() {
                table.idle[worker].push(slot);
            }
        }
        Ok(shared)
    }

    /// Workers that connections are kept to.
    pub fn workers(&self) -> u32 {
        self.table.lock().map_or(1, |table| table.idle.len().max(1) as u32)
    }

    /// Sends a request on an idle connection of a worker, or on a new one.
    pub fn send(&self, request: usize, path: &str, worker: usize) -> Result<(), String> {
        let idle = match self.how {
            Connections::Kept => self.idle(worker),
            Connections::PerRequest => None,
        };
        let slot = match idle {
            Some(slot) => slot,
            None => {
                // Whose worker accepts it nobody knows.
                let several = self.how == Connections::Kept && self.workers() > 1;
                self.rerouted.fetch_add(u64::from(several), Ordering::Relaxed);
                self.connect()?
            }
        };
        let Some(connection) = self.connection(slot) else { return Ok(()) };
        connection.request.store(request, Ordering::Release);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let text = self.target.request(path, self.how == Connections::PerRequest);
        let written = (&connection.stream).write(text.as_bytes());
        if written.is_ok_and(|count| count == text.len()) {
            return Ok(());
        }
        // The connection is gone, or takes no more. Unless the receiver has seen that already, the request has failed here.
        if connection.request.compare_exchange(request, NONE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.done(slot, false);
        }
        Ok(())
    }

    /// An idle connection: of this worker, else of another.
    fn idle(&self, worker: usize) -> Option<usize> {
        let mut table = self.table.lock().ok()?;
        if let Some(slot) = table.idle.get_mut(worker)?.pop() {
            return Some(slot);
        }
        if table.idle.len() == 1 {
            return None;
        }
        let other = table.idle.iter_mut().find_map(Vec::pop);
        self.rerouted.fetch_add(u64::from(other.is_some()), Ordering::Relaxed);
        other
    }

    fn connect(&self) -> Result<usize, String> {
        if self.table.lock().is_ok_and(|table| table.open >= MOST_CONNECTIONS) {
            return Err(format!(
                "leaves {MOST_CONNECTIONS} requests without an answer: it cannot keep up with the load"
            ));
        }
        let stream =
            StdStream::connect_timeout(&self.target.address, STILL).map_err(|error| match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => {
                    "no longer listens: it died under load".to_string()
                }
                _ => format!("takes no connection ({error})"),
            })?;
        self.add(stream, 0)
    }

    fn add(&self, stream: StdStream, worker: usize) -> Result<usize, String> {
        let failed = |error: io::Error| format!("cannot be watched ({error})");
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(failed)?;
        let mut stream = TcpStream::from_std(stream);
        let mut table = self.table.lock().map_err(|_| "cannot be watched".to_string())?;
        let slot = table.free.pop().unwrap_or_else(|| {
            table.slots.push(None);
            table.slots.len() - 1
        });
        if table.idle.len() <= worker {
            table.idle.resize(worker + 1, Vec::new());
        }
        table.open += 1;
        table.most = table.most.max(table.open);
        // Before the receiver can hear of it: it finds the connection once this lock is free.
        self.registry.register(&mut stream, Token(slot), Interest::READABLE).map_err(failed)?;
        table.slots[slot] = Some(Arc::new(Connection { stream, worker, request: AtomicUsize::new(NONE) }));
        Ok(slot)
    }

    fn connection(&self, slot: usize) -> Option<Arc<Connection>> {
        self.table.lock().ok()?.slots.get(slot)?.clone()
    }

    /// A connection is free again, or gone.
    fn done(&self, slot: usize, open: bool) {
        let Ok(mut table) = self.table.lock() else { return };
        let Some(connection) = table.slots.get(slot).and_then(Option::as_ref) else { return };
        let worker = connection.worker;
        if open {
            table.idle[worker].push(slot);
        } else {
            table.idle[worker].retain(|&other| other != slot);
            table.slots[slot] = None;
            table.free.push(slot);
            table.open -= 1;
        }
    }

    /// What is said of a server that answers nothing.
    pub fn still(&self) -> String {
        let hint = match self.how {
            Connections::Kept => "; one that serves a connection at a time needs `--connections per-request`",
            Connections::PerRequest => "",
        };
        format!("has answered nothing for {} s: it stands still{hint}", STILL.as_secs())
    }

    /// The load has to end, for the first reason that is reported.
    pub fn report(&self, why: String) {
        if let Ok(mut trouble) = self.trouble.lock() {
            trouble.get_or_insert(why);
        }
    }

    /// True once it has to end.
    pub fn in_trouble(&self) -> bool {
        self.trouble.lock().map_or(true, |trouble| trouble.is_some())
    }

    /// The most connections that were open at a time.
    pub fn most_open(&self) -> usize {
        self.table.lock().map_or(0, |table| table.most)
    }

    /// Reads what a connection has; `Some` when that ends a request.
    pub fn read(&self, slot: usize, input: &mut Vec<u8>) -> Option<Received> {
        let connection = self.connection(slot)?;
        let mut buffer = [0; 4096];
        let mut ended = false;
        while !ended {
            match (&connection.stream).read(&mut buffer) {
                Ok(0) => ended = true,
                Ok(count) => input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => ended = true,
            }
        }
        let at = Instant::now();
        let response = http::read_response(input, ended);
        let wrong = response.is_err();
        let response = response.ok().flatten();
        if response.is_none() && !ended && !wrong {
            return None;
        }
        input.clear();
        let open = !ended
            && self.how == Connections::Kept
            && response.as_ref().is_some_and(|response| !response.close);
        let request = connection.request.swap(NONE, Ordering::AcqRel);
        self.done(slot, open);
        if request == NONE {
            return None; // an idle connection that the server closed
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        let ok = response.as_ref().is_some_and(|response| response.status == 200);
        Some(Received {
            request,
            worker: connection.worker,
            at,
            ok,
            handler: response.and_then(|response| handler_nanos(&response.body)),
        })
    }
}
