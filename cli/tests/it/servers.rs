//! The small server, and what `validate --server` says of servers that are not what they should be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::{folder, scalesim, stderr, stdout};

/// A server that ends with the test.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(form: &str) -> Serving {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scalesim"));
        let mut child = command
            .args(["serve", form, "--port", "0", "--workers", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once("http://").unwrap().1.split_once(',').unwrap().0.to_string();
        Serving { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_form_serves_the_three_paths() {
    for form in ["event-loop", "thread-pool", "thread-per-request", "processes"] {
        let server = Serving::start(form);
        assert!(server.get("/").contains("\nruntime = {"), "{form}");
        let answer = server.get("/api/4");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"count\":10,"), "{form}: {answer}");
        assert!(server.get("/pid").lines().last().unwrap().parse::<u32>().is_ok(), "{form}");
        assert!(server.get("/nothing").starts_with("HTTP/1.1 404"), "{form}");
        // A client that has said all it wants is answered all the same.
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(b"GET /pid HTTP/1.1\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{form}: {text}");
        // Two requests on one connection, sent at once.
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let both = "GET /api/4 HTTP/1.1\r\n\r\nGET /pid HTTP/1.1\r\nConnection: close\r\n\r\n";
        stream.write_all(both.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{form}: {text}");
    }
}

/// N independent processes on one port: the second is told why, and what to do.
#[test]
fn a_second_server_on_a_port_gets_the_lesson() {
    let first = Serving::start("event-loop");
    let port = first.address.rsplit_once(':').unwrap().1;
    let second = scalesim(&folder("clash"), &["serve", "event-loop", "--port", port]);
    assert_eq!(second.status.code(), Some(2));
    let told = stderr(&second);
    assert!(told.contains("EADDRINUSE") && told.contains("serve processes"), "{told}");
}

/// Workers do not outlive whoever started them, however that one ends.
#[cfg(target_os = "linux")]
#[test]
fn workers_end_with_the_process_that_started_them() {
    let server = Serving::start("processes");
    let worker: u32 = server.get("/pid").lines().last().unwrap().parse().unwrap();
    drop(server);
    let there = || std::path::Path::new(&format!("/proc/{worker}")).exists();
    for _ in 0..500 {
        if !there() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("worker {worker} is still there");
}

#[test]
fn a_server_that_cannot_be_measured_is_told_with_the_reason() {
    let folder = folder("no-server");
    let silent = Serving::start("event-loop");
    let silent = format!("http://{}", silent.address);
    let nothing_there = format!("{silent}/nothing");
    for (args, code, words) in [
        (&["--server", "http://127.0.0.1:1/"][..], 2, &["cannot be reached", "nothing listens there"][..]),
        (&["--server", "https://127.0.0.1/"], 2, &["only http"]),
        (&["--server", "http://192.0.2.7/"], 2, &["not on this machine"]),
        (&["--start", "exit 3"], 2, &["ended before it listened"]),
        (&["--start", "exit 3", "--utilisation", "1.2"], 2, &["a utilisation of 1.2"]),
        (&["--server", &silent, "--runtime", "event-lop"], 2, &["event-lop"]),
        (&["--server", &nothing_there], 2, &["/nothing", "with 404"]),
        (&["--utilisation", "0.5"], 2, &["--server"]),
    ] {
        let output = scalesim(&folder, &[&["validate", "--quiet", "--quick"], args].concat());
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(words.iter().all(|word| told.contains(word)), "{args:?}: {told}");
    }
    assert!(!folder.join("out/validate/servers.json").exists(), "nothing half-written");
}

/// A server that dies under load: the command ends, and says so.
#[cfg(unix)]
#[test]
fn a_server_that_dies_under_load_is_told() {
    let folder = folder("dying");
    let server = env!("CARGO_BIN_EXE_scalesim");
    let command = format!("{server} serve event-loop & sleep 2; kill -9 $!");
    let output = scalesim(&folder, &["validate", "--quiet", "--quick", "--start", &command]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{told}{}", stdout(&output));
    // Between two loads it is found to have ended, within one to have died: which of them is a matter of milliseconds.
    assert!(told.contains("die") || told.contains("the server ended"), "{told}");
    assert!(!folder.join("out/validate/servers.json").exists(), "nothing half-written");
}

/// An interrupt ends the command, and with it what it started.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_ends_the_servers_that_were_started() {
    let folder = folder("interrupted-servers");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scalesim"));
    command.current_dir(&folder).args(["validate", "--quiet", "--start", "echo $$ > pid; exec sleep 60"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let pid = || std::fs::read_to_string(folder.join("pid")).ok().filter(|pid| pid.ends_with('\n'));
    while pid().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!std::path::Path::new(&format!("/proc/{}", pid().unwrap().trim())).exists());
}

/// The whole way, without judging: what a shared machine makes of it is not the test's business.
#[cfg(unix)]
#[test]
fn a_server_is_started_measured_and_reported() {
    let folder = folder("measured");
    let command = format!("{} serve event-loop", env!("CARGO_BIN_EXE_scalesim"));
    let args = ["validate", "--quiet", "--quick", "--utilisation", "0.3", "--start", &command];
    let output = scalesim(&folder, &args);
    let told = stdout(&output);
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{told}{}", stderr(&output));
    assert!(told.contains("30%") && told.contains("runtime = { event-loop"), "{told}");
    for file in ["servers.json", "servers.svg", "servers.png"] {
        assert!(folder.join("out/validate").join(file).exists(), "{file}");
    }
}
