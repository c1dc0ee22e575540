//! One thread for everything: it reads, computes and writes for all connections, one request after another.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use mio::net::{TcpListener as Listener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::{MOST_CONNECTIONS, answer};
use crate::http;

/// What a connection may have read and not served, and not written.
const MOST_BYTES: usize = 256 * 1024;

const LISTENER: Token = Token(usize::MAX);

/// Serves for ever.
pub fn run(listener: TcpListener, about: &str) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = Listener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
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
                Token(index) => {
                    if event.is_writable() {
                        connections.flush(index);
                    }
                    connections.read(index);
                    connections.serve(index, about);
                }
            }
        }
        if more {
            let accepted = connections.accept(&listener, poll.registry())?;
            more = accepted.is_some();
            if let Some(index) = accepted {
                connections.read(index);
                connections.serve(index, about);
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
    /// To be closed once all is written.
    closing: bool,
    /// The client will send no more.
    ended: bool,
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
            self.slots[index] = Some(Connection { stream, input, output, closing: false, ended: false });
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
                Ok(0) => {
                    connection.ended = true;
                    return;
                }
                // A client that sends and sends without reading what it gets.
                Ok(_) if connection.input.len() + connection.output.len() > MOST_BYTES => {
                    return self.close(index);
                }
                Ok(count) => connection.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.close(index),
            }
        }
    }

    /// Answers the requests that are there whole, one after another.
    fn serve(&mut self, index: usize, about: &str) {
        loop {
            let Some(connection) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
            if connection.closing {
                return;
            }
            let request = match http::request(&connection.input) {
                Ok(Some(request)) => request,
                Ok(None) if connection.ended && connection.output.is_empty() => return self.close(index),
                Ok(None) => {
                    connection.closing |= connection.ended;
                    return;
                }
                Err(why) => {
                    let response = http::response(400, &format!("{why}\n"), true);
                    return self.write(index, &response, true);
                }
            };
            connection.input.drain(..request.length);
            let (status, body) = answer(&request.path, about);
            self.write(index, &http::response(status, &body, request.close), request.close);
        }
    }

    fn write(&mut self, index: usize, response: &[u8], close: bool) {
        let Some(connection) = self.slots.get_mut(index).and_then(Option::as_mut) else { return };
        connection.output.extend_from_slice(response);
        connection.closing = close;
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

    fn close(&mut self, index: usize) {
        if self.slots[index].take().is_some() {
            self.free.push(index);
            self.open -= 1;
        }
    }
}
