//! A pool of threads that take requests from one queue, first come, first served.
//!
//! No thread is kept for reading: whoever is free waits for the next connection that has something to say, and serves it
//! (leader and followers: Schmidt and others, "Pattern-Oriented Software Architecture", volume 2). While all compute,
//! requests wait in the kernel.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mio::net::{TcpListener as Listener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::{MOST_CONNECTIONS, answer};
use crate::http;

const LISTENER: Token = Token(usize::MAX);

/// What only the leader touches.
struct Leader {
    poll: Poll,
    events: Events,
    listener: Listener,
    /// Connections wait to be accepted.
    more: bool,
    /// Connections that have something to say.
    ready: VecDeque<usize>,
}

/// A connection by its token; nothing while a thread serves it.
#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    served: bool,
    /// More came meanwhile.
    again: bool,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

struct Pool<'a> {
    leader: Mutex<Leader>,
    slots: Mutex<Vec<Slot>>,
    about: &'a str,
}

/// Serves for ever, with so many threads.
pub fn run(listener: TcpListener, about: &str, threads: u32) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = Listener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (events, ready) = (Events::with_capacity(1024), VecDeque::new());
    let leader = Mutex::new(Leader { poll, events, listener, more: false, ready });
    let pool = Pool { leader, slots: Mutex::default(), about };
    thread::scope(|scope| {
        let started: io::Result<Vec<_>> =
            (0..threads).map(|_| thread::Builder::new().spawn_scoped(scope, || pool.work())).collect();
        started?.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })
}

impl Pool<'_> {
    /// One thread: the next connection with something to say, and so on.
    fn work(&self) -> io::Result<()> {
        loop {
            let index = self.next()?;
            let Some(mut connection) = self.take(index) else { continue };
            let mut open = true;
            loop {
                open = open && self.serve(&mut connection);
                match self.put_back(index, connection, open) {
                    Some(again) => connection = again,
                    None => break,
                }
            }
        }
    }

    /// Waits for a connection that has something to say. One thread at a time does.
    fn next(&self) -> io::Result<usize> {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(index) = leader.ready.pop_front() {
                return Ok(index);
            }
            if leader.more
                && let Some(index) = self.accept(&mut leader)?
            {
                return Ok(index);
            }
            let Leader { poll, events, ready, more, .. } = &mut *leader;
            match poll.poll(events, more.then_some(Duration::ZERO)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in events.iter() {
                match event.token() {
                    LISTENER => *more = true,
                    Token(index) => ready.push_back(index),
                }
            }
        }
    }

    /// Takes a connection that waits to be accepted.
    fn accept(&self, leader: &mut Leader) -> io::Result<Option<usize>> {
        let Ok((mut stream, _)) = leader.listener.accept() else {
            leader.more = false; // none waits, or descriptors ran out: those that are open go on
            return Ok(None);
        };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let free = slots.iter().position(|slot| slot.connection.is_none() && !slot.served);
        let index = free.unwrap_or(slots.len());
        if index >= MOST_CONNECTIONS {
            return Ok(None); // closed at once
        }
        if index == slots.len() {
            slots.push(Slot::default());
        }
        let _ = stream.set_nodelay(true); // where it cannot be set, responses take longer
        leader.poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        slots[index] = Slot { connection: Some(Connection { stream, input: Vec::new() }), ..Slot::default() };
        Ok(Some(index))
    }

    fn take(&self, index: usize) -> Option<Connection> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get_mut(index)?;
        let connection = slot.connection.take();
        slot.served |= connection.is_some();
        slot.again = slot.served && connection.is_none();
        connection
    }

    /// Gives a connection back, or keeps it to serve what came meanwhile.
    fn put_back(&self, index: usize, connection: Connection, open: bool) -> Option<Connection> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut slots[index];
        if open && std::mem::take(&mut slot.again) {
            return Some(connection);
        }
        *slot = Slot { connection: open.then_some(connection), ..Slot::default() };
        None
    }

    /// Reads and answers all there is; false when the connection is over.
    fn serve(&self, Connection { stream, input }: &mut Connection) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match http::request(input) {
                Ok(Some(request)) => {
                    input.drain(..request.length);
                    let (status, body) = answer(&request.path, self.about);
                    let written = write(stream, &http::response(status, &body, request.close));
                    if request.close || written.is_err() {
                        return false;
                    }
                }
                Ok(None) => match stream.read(&mut buffer) {
                    Ok(0) => return false,
                    Ok(count) => input.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                },
                Err(why) => {
                    let _ = write(stream, &http::response(400, &format!("{why}\n"), true)); // it is over anyway
                    return false;
                }
            }
        }
    }
}

/// Writes all of a response. It is short: a client that reads has room for it.
fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
