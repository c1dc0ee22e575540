//! Pinning to vCPUs by `taskset`: asking the kernel directly would take unsafe code.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

/// The numbers of the vCPUs that this program may use.
pub fn vcpus() -> Vec<u32> {
    let count = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    vcpus_of("self").unwrap_or_else(|| (0..count).collect())
}

/// The numbers of the vCPUs that a process may use; `None` where the kernel does not tell.
pub fn vcpus_of(process: &str) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.map(parse_list).filter(|list| !list.is_empty())
}

/// A program on these vCPUs alone, with what it starts.
pub fn on(vcpus: &[u32], program: impl AsRef<OsStr>) -> Command {
    let list: Vec<String> = vcpus.iter().map(u32::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &list.join(",")]).arg(program);
    command
}

/// A list as the kernel writes it: `0-3,8`. What is no list is empty.
pub fn parse_list(text: &str) -> Vec<u32> {
    /// More vCPUs than any machine has: a broken list must not fill the memory.
    const MOST: u32 = 1 << 16;
    let parts = text.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (to < MOST).then_some(from..=to)
    });
    parts.flatten().collect()
}

/// True where threads and processes can be pinned.
pub fn possible() -> bool {
    cfg!(target_os = "linux") && quietly(Command::new("taskset").arg("--version")) && thread_id().is_some()
}

/// Pins the calling thread; false where that did not work.
pub fn this_thread(vcpu: u32) -> bool {
    let Some(id) = thread_id() else { return false };
    quietly(Command::new("taskset").args(["-p", "-c", &vcpu.to_string(), &id]))
}

/// The kernel's number of the calling thread.
pub fn thread_id() -> Option<String> {
    // The link reads `<process>/task/<thread>`.
    let link = fs::read_link("/proc/thread-self").ok()?;
    Some(link.file_name()?.to_str()?.to_string())
}

fn quietly(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_vcpus() {
        assert_eq!(parse_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list(" 5 "), [5]);
        assert!(parse_list("0-4294967295").is_empty());
        assert!(parse_list("x-,").is_empty());
        assert!(!vcpus().is_empty());
    }
}
