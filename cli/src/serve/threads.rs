//! A thread for each connection: as many compute at once as there are requests, and the operating system shares the vCPUs.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{MOST_CONNECTIONS, answer};
use crate::http;

/// Serves for ever.
pub fn run(listener: &TcpListener, about: &str) -> io::Result<()> {
    let about: Arc<str> = about.into();
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        // One that went away before it was accepted is no reason to stop.
        let Ok(stream) = stream else { continue };
        if open.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
            continue; // closed at once
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (about, left) = (about.clone(), open.clone());
        let spawned = thread::Builder::new().spawn(move || {
            let _ = connection(stream, &about); // the client went away
            left.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            open.fetch_sub(1, Ordering::Relaxed); // no thread to be had: this connection is closed
        }
    }
    Ok(())
}

/// One request after another, until the client goes away.
fn connection(mut stream: TcpStream, about: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match http::request(&input) {
            Ok(Some(request)) => {
                input.drain(..request.length);
                let (status, body) = answer(&request.path, about);
                stream.write_all(&http::response(status, &body, request.close))?;
                if request.close {
                    return Ok(());
                }
            }
            Ok(None) => match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => input.extend_from_slice(&buffer[..count]),
            },
            Err(why) => return stream.write_all(&http::response(400, &format!("{why}\n"), true)),
        }
    }
}
