//! The server under load: where it is, the process that is started for it, and what it says of itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http;
use crate::validate::pin;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to answer when there is no load.
const ANSWER: Duration = Duration::from_secs(10);

/// A server that can be asked.
#[derive(Debug)]
pub struct Target {
    /// What it is called in the report.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// What the `Host` header says.
    pub host: String,
    /// The path of the URL.
    pub path: String,
    /// The vCPU that is kept for the load on it.
    pub load_vcpu: Option<u32>,
    /// Processes that answer for it, as far as they are known.
    pub pids: Vec<u32>,
    /// The process, where one was started.
    process: Option<Process>,
}

/// Processes that were started and have not been ended: who leaves in a hurry ends them with [`end_all`].
static STARTED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Ends all servers that were started.
pub fn end_all() {
    if let Ok(started) = STARTED.lock() {
        started.iter().for_each(|&process| end_group(process));
    }
}

/// Ends all of a process's group: a shell that is ended leaves what it started.
fn end_group(process: u32) {
    if cfg!(unix) {
        let group = format!("-{process}");
        // Where there is no `kill`, the process itself is ended by who holds it.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
}

/// A process that ends with its children when this is dropped.
#[derive(Debug)]
struct Process(Child);

impl Target {
    /// A server that runs, by its URL.
    pub fn at(url: &str) -> Result<Target, String> {
        let bad = |why: &str| {
            format!(
                "`{url}` {why}: write `http://127.0.0.1:8080` or, with a path, `http://localhost:3000/api/7`"
            )
        };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(bad(&format!("is {scheme}, and only http is spoken"))),
            None => return Err(bad("is no URL")),
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("has a path with characters that a path cannot have"));
        }
        let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            host.to_string()
        } else {
            format!("{host}:80")
        };
        let found = with_port.to_socket_addrs().map_err(|error| bad(&format!("names no host ({error})")))?;
        let addresses: Vec<SocketAddr> = found.collect();
        let Some(&local) = addresses.iter().find(|address| address.ip().is_loopback()) else {
            return Err(format!(
                "`{url}` is not on this machine: server and load have to share it, so that the model knows its vCPUs \
                 and nobody else is put under load"
            ));
        };
        // A name may stand for several addresses, and a server listen on one.
        let listening = addresses
            .iter()
            .filter(|address| address.ip().is_loopback())
            .find(|address| TcpStream::connect_timeout(address, ANSWER).is_ok());
        let address = listening.copied().unwrap_or(local);
        let target = Target {
            name: url.to_string(),
            address,
            host: host.to_string(),
            path: path.to_string(),
            load_vcpu: None,
            pids: Vec::new(),
            process: None,
        };
        target.get(path).map_err(|error| target.unreachable(&error))?;
        Ok(target)
    }

    /// Starts a server by a command, which is told its port in the variable `PORT`, on some vCPUs or on any.
    pub fn start(command: &str, vcpus: Option<&[u32]>, stop: &AtomicBool) -> Result<Target, String> {
        let failed = |why: String| format!("`{command}` {why}");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let address = port.map_err(|error| format!("there is no free port on 127.0.0.1: {error}"))?;
        let process = Process::start(command, address.port(), vcpus)
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        let (host, path) = (address.to_string(), "/".to_string());
        let mut target = Target {
            name: command.to_string(),
            address,
            host,
            path,
            load_vcpu: None,
            pids: Vec::new(),
            process: Some(process),
        };
        let began = Instant::now();
        loop {
            if let Some(status) = target.ended() {
                return Err(failed(format!("ended before it listened: {status}")));
            }
            match target.get("/") {
                Ok(_) => return Ok(target),
                Err(_) if stop.load(Ordering::Relaxed) => return Err("interrupted".to_string()),
                Err(error) if began.elapsed() > PATIENCE => {
                    let seconds = PATIENCE.as_secs();
                    let why = match error.kind() {
                        io::ErrorKind::ConnectionRefused => "nothing listens there".to_string(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                            "it listens, and is silent".to_string()
                        }
                        _ => error.to_string(),
                    };
                    return Err(failed(format!(
                        "did not answer at {} within {seconds} s: {why}. It has to listen on the port in the variable PORT",
                        target.address
                    )));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Asks for a path on a connection of its own.
    pub fn get(&self, path: &str) -> io::Result<http::Response> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER)?;
        self.ask(&mut stream, path)
    }

    /// Asks for a path on a connection, and waits for the answer.
    pub fn ask(&self, stream: &mut TcpStream, path: &str) -> io::Result<http::Response> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(self.request(path, false).as_bytes())?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            bytes.extend_from_slice(&buffer[..count]);
            match http::read_response(&bytes, count == 0) {
                Ok(Some(response)) => return Ok(response),
                Ok(None) if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(None) => {}
                Err(why) => return Err(io::Error::other(why.to_string())),
            }
        }
    }

    /// Asks on some connections who answers, and notes it; a server that does not say so stays unknown.
    pub fn find_processes(&mut self) {
        /// As many as are likely to reach all of a few workers.
        const TIMES: u32 = 12;
        for _ in 0..TIMES {
            let Some(pid) = self.get("/pid").ok().as_ref().and_then(pid) else { return };
            if !self.pids.contains(&pid) {
                self.pids.push(pid);
            }
        }
    }

    /// The bytes of a request.
    pub fn request(&self, path: &str, close: bool) -> String {
        let kept = if close { "close" } else { "keep-alive" };
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: {kept}\r\n\r\n", self.host)
    }

    /// The number of the process that was started.
    pub fn process(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.0.id())
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.process.as_mut()?.0.try_wait().ok()?
    }

    fn unreachable(&self, error: &io::Error) -> String {
        let why = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "nothing listens there; start the server first, or let `--start COMMAND` do it".to_string()
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("it did not answer within {} s", ANSWER.as_secs())
            }
            io::ErrorKind::UnexpectedEof => "it closed the connection without an answer".to_string(),
            _ => error.to_string(),
        };
        format!("the server at {} cannot be reached: {why}", self.name)
    }
}

/// The number of a process that `GET /pid` tells.
pub fn pid(response: &http::Response) -> Option<u32> {
    let told = std::str::from_utf8(&response.body).ok()?.trim().parse();
    told.ok().filter(|_| response.status == 200)
}

impl Process {
    /// Through the shell, as it stands on the command line, in a process group of its own.
    fn start(command: &str, port: u16, vcpus: Option<&[u32]>) -> io::Result<Process> {
        let (shell, option) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let mut starting = match vcpus {
            Some(vcpus) => pin::on(vcpus, shell),
            None => Command::new(shell),
        };
        starting.args([option, command]).env("PORT", port.to_string());
        starting.stdin(Stdio::null()).stdout(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut starting, 0);
        let process = Process(starting.spawn()?);
        if let Ok(mut started) = STARTED.lock() {
            started.push(process.0.id());
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end_group(self.0.id());
        let _ = self.0.kill(); // it has ended by itself
        let _ = self.0.wait();
        if let Ok(mut started) = STARTED.lock() {
            started.retain(|&process| process != self.0.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_are_refused_with_the_reason() {
        for (url, word) in [
            ("127.0.0.1:80", "is no URL"),
            ("https://localhost/", "only http"),
            ("http://", "names no host"),
            ("http://127.0.0.1:9/a b", "characters"),
            ("http://192.0.2.1:80/", "not on this machine"),
            ("http://127.0.0.1:1/", "nothing listens there"),
        ] {
            let error = Target::at(url).unwrap_err();
            assert!(error.contains(word), "{url}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_ends_is_no_server() {
        let error = Target::start("exit 7", None, &AtomicBool::new(false)).unwrap_err();
        assert!(error.contains("ended before it listened") && error.contains('7'), "{error}");
    }
}
