//! One thread that reads and writes for all connections. It computes too, or leaves that to a pool.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mio::net::{TcpListener as Listener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::{MOST_CONNECTIONS, answer};
use crate::http;

const LISTENER: Token = Token(usize::MAX);
const POOL: Token = Token(usize::MAX - 1);

/// Serves for ever, with so many threads that compute, or with none but this one.
pub fn run(listener: TcpListener, about: &str, threads: Option<u32>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = Listener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let pool = threads.map(|threads| Pool::new(threads, about, poll.registry())).transpose()?;
    let mut connections = Connections { slots: Vec::new(), free: Vec::new(), open: 0 };
    let mut events = Events::with_capacity(1024);
    // Connections wait to be accepted. One is taken at a time, and served, before the next: whoever shares the listener
    // takes those that this loop is too busy for.
    let mut more = false;
    loop {
        match poll.poll(&mut events, more.then_some(Duration::ZERO)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => more = true,
                POOL => {
                    for done in pool.iter().flat_map(|pool| pool.done.try_iter()) {
                        connections.write(done.connection, &done.response, done.close);
                        connections.serve(done.connection, about, pool.as_ref());
                    }
                }
                Token(index) => {
                    if event.is_writable() {
                        connections.flush(index);
                    }
                    connections.read(index);
                    connections.serve(index, about, pool.as_ref());
                }
            }
        }
        if more {
            let accepted = connections.accept(&listener, poll.registry())?;
            more = accepted.is_some();
            if let Some(index) = accepted {
                connections.read(index);
                connections.serve(index, about, pool.as_ref());
            }
        }
    }
}

/// Connections by their tokens.
struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    open: usize,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// The pool is at work for it.
    waits: bool,
    /// To be closed once all is written.
    closing: bool,
}

impl Connections {
    /// Takes a connection that waits; `None` where none does.
    fn accept(&mut self, listener: &Listener, registry: &Registry) -> io::Result<Option<usize>> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // None waits, or descriptors ran out: those that are open go on.
                Err(_) => return Ok(None),
            };
            if self.open >= MOST_CONNECTIONS {
                continue; // closed at once
            }
            let index = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            let _ = stream.set_nodelay(true); // where it cannot be set, responses take longer
            registry.register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            let (input, output) = (Vec::new(), Vec::new());
            self.slots[index] = Some(Connection { stream, input, output, waits: false, closing: false });
            self.open += 1;
            return Ok(Some(index));
        }
    }

    /// Reads all there is.
    fn read(&mut self, index: usize) {
        let Some(connection) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
        let mut buffer = [0; 4096];
        loop {
            match connection.stream.read(&mut buffer) {
                Ok(0) => return self.close(index),
                Ok(count) => connection.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.close(index),
            }
        }
    }

    /// Answers the requests that are there whole, one after another.
    fn serve(&mut self, index: usize, about: &str, pool: Option<&Pool>) {
        loop {
            let Some(connection) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
            if connection.waits || connection.closing {
                return;
            }
            let request = match http::request(&connection.input) {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(why) => {
                    let response = http::response(400, &format!("{why}\n"), true);
                    return self.write(index, &response, true);
                }
            };
            connection.input.drain(..request.length);
            match pool {
                Some(pool) => {
                    connection.waits = true;
                    pool.add(Job { connection: index, path: request.path, close: request.close });
                }
                None => {
                    let (status, body) = answer(&request.path, about);
                    self.write(index, &http::response(status, &body, request.close), request.close);
                }
            }
        }
    }

    fn write(&mut self, index: usize, response: &[u8], close: bool) {
        let Some(connection) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
        connection.output.extend_from_slice(response);
        (connection.waits, connection.closing) = (false, close);
        self.flush(index);
    }

    /// Writes as much as the socket takes.
    fn flush(&mut self, index: usize) {
        let Some(connection) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
        while !connection.output.is_empty() {
            match connection.stream.write(&connection.output) {
                Ok(count) => drop(connection.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.close(index),
            }
        }
        if connection.closing {
            self.close(index);
        }
    }

    /// Closes a connection. One for which the pool is at work keeps its number until that is done.
    fn close(&mut self, index: usize) {
        let Some(connection) = self.slots[index].as_mut() else { return };
        if connection.waits {
            connection.closing = true;
            return;
        }
        self.slots[index] = None;
        self.free.push(index);
        self.open -= 1;
    }
}

/// A request for the pool.
struct Job {
    connection: usize,
    path: String,
    close: bool,
}

/// What came of it.
struct Done {
    connection: usize,
    response: Vec<u8>,
    close: bool,
}

/// Threads that compute. They take jobs from one queue, first come, first served.
struct Pool {
    queue: Arc<Queue>,
    done: Receiver<Done>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    more: std::sync::Condvar,
}

impl Pool {
    fn new(threads: u32, about: &str, registry: &Registry) -> io::Result<Pool> {
        let queue = Arc::new(Queue::default());
        let waker = Arc::new(Waker::new(registry, POOL)?);
        let (sender, done) = channel();
        for _ in 0..threads {
            let (queue, waker, sender) = (queue.clone(), waker.clone(), sender.clone());
            let about = about.to_string();
            thread::Builder::new().spawn(move || work(&queue, &about, &sender, &waker))?;
        }
        Ok(Pool { queue, done })
    }

    fn add(&self, job: Job) {
        if let Ok(mut jobs) = self.queue.jobs.lock() {
            jobs.push_back(job);
            self.queue.more.notify_one();
        }
    }
}

/// One thread of the pool.
fn work(queue: &Queue, about: &str, sender: &Sender<Done>, waker: &Waker) {
    loop {
        let Ok(jobs) = queue.jobs.lock() else { return };
        let Ok(mut jobs) = queue.more.wait_while(jobs, |jobs| jobs.is_empty()) else { return };
        let Some(Job { connection, path, close }) = jobs.pop_front() else { continue };
        drop(jobs);
        let (status, body) = answer(&path, about);
        let response = http::response(status, &body, close);
        if sender.send(Done { connection, response, close }).is_err() || waker.wake().is_err() {
            return;
        }
    }
}
