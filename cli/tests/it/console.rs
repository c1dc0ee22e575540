//! The console blocks of the documentation are run: what a page shows is what the command prints.
//!
//! A block runs if it is a ```` ```console ```` block and begins with `$ scalesim`; the conventions are those of `trycmd`. Each
//! page is copied beside a folder of its own with the examples in it, and run there, from its first block to its last: a
//! later block finds what an earlier one wrote, and the repository stays as it is. `TRYCMD=overwrite` writes what is printed
//! now into the pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use trycmd::TestCases;

/// The longest that one command of a page may take, in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

/// Commands that have no page yet.
const WITHOUT_PAGE: [&str; 0] = [];

/// What sets a fence aside that is not to be run: trycmd knows no such language.
const ASIDE: &str = "```aside:";

#[test]
fn pages_show_what_commands_print() {
    let root = root();
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    let _ = fs::remove_dir_all(&work);
    let mut pages = pages();
    pages.push(root.join("README.md"));
    let copies: Vec<(PathBuf, PathBuf)> = pages
        .into_iter()
        .map(|page| (work.join(page.strip_prefix(&root).unwrap().to_string_lossy().replace('/', "-")), page))
        .collect();

    let cases = TestCases::new();
    cases.register_bin("scalesim", Path::new(env!("CARGO_BIN_EXE_scalesim"))).timeout(LONGEST);
    for (copy, page) in &copies {
        copy_all(&root.join("examples"), &copy.with_extension("in").join("examples"));
        fs::write(copy, set_aside(&fs::read_to_string(page).unwrap())).unwrap();
        cases.case(copy);
    }
    cases.run();

    if std::env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
        for (copy, page) in &copies {
            fs::write(page, fs::read_to_string(copy).unwrap().replace(ASIDE, "```")).unwrap();
        }
    }
}

#[test]
fn every_block_of_a_page_is_run() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.display();
        let prepared = set_aside(&text);
        assert!(prepared.contains("```console\n$ scalesim"), "{name} has no console block that runs");
        assert!(!prepared.contains("```aside:console"), "{name}: a console block that is not `$ scalesim …`");
        for line in text.lines().filter(|line| line.starts_with("$ ")) {
            assert!(line.starts_with("$ scalesim "), "{name}: only scalesim can be run, not `{line}`");
        }
    }
}

#[test]
fn every_command_has_a_page_and_stands_in_the_index() {
    let help = Command::new(env!("CARGO_BIN_EXE_scalesim")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(commands.contains(&"run"), "{help}");
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    for name in commands {
        if !WITHOUT_PAGE.contains(&name) {
            assert!(folder().join(format!("{name}.md")).exists(), "docs/commands/{name}.md is missing");
        }
        assert!(index.contains(&format!("[{name}]({name}.md)")), "docs/commands/README.md lacks {name}");
    }
}

#[test]
fn only_blocks_that_begin_with_scalesim_run() {
    let page = "```\nplain\n```\n```console\n$ scalesim new -\n```\n```console\ncargo test\n```\n```toml\na = 1\n```\n";
    let prepared = "```aside:\nplain\n```\n```console\n$ scalesim new -\n```\n```aside:console\ncargo test\n```\n\
                    ```aside:toml\na = 1\n```\n";
    assert_eq!(set_aside(page), prepared);
    assert_eq!(prepared.replace(ASIDE, "```"), page);
}

/// The page with every block marked that is not to be run.
fn set_aside(page: &str) -> String {
    let lines: Vec<&str> = page.split_inclusive('\n').collect();
    let mut prepared = String::new();
    let mut inside = false;
    for (index, line) in lines.iter().enumerate() {
        let Some(info) = line.strip_prefix("```") else {
            prepared.push_str(line);
            continue;
        };
        let runs = info.trim_end() == "console"
            && lines.get(index + 1).is_some_and(|next| next.starts_with("$ scalesim"));
        prepared.push_str(if inside || runs { "```" } else { ASIDE });
        prepared.push_str(info);
        inside = !inside;
    }
    prepared
}

/// The pages of commands, in order.
fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !path.ends_with("README.md"))
        .collect();
    pages.sort();
    pages
}

fn folder() -> PathBuf {
    root().join("docs/commands")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &copy);
        } else {
            fs::copy(&path, copy).unwrap();
        }
    }
}
