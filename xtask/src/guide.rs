//! `cargo xtask guide`: the guide as a book, and its numbers and its Python held to what they say.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use crate::tools::Tool;
use crate::{Failure, adapters, artifact, cargo, root, succeed};

const BOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    // Without its server and its watcher, and quick to build: it has a dozen pages to read.
    build: &["--debug", "--no-default-features", "--features", "search"],
};

/// `cargo xtask guide`.
pub fn run() -> Result<ExitCode, Failure> {
    succeed(cargo().args(["build", "--quiet", "--all-features", "--example", "why_scale"]))?;
    check()?;
    println!("xtask: target/guide/index.html");
    Ok(ExitCode::SUCCESS)
}

/// The same where the examples are built.
pub fn check() -> Result<(), Failure> {
    numbers()?;
    python()?;
    succeed(BOOK.command()?.args(["build", "docs"]))
}

/// The tables of the first page are what its example prints.
fn numbers() -> Result<(), Failure> {
    let plot = root().join("target/guide.svg");
    let output = Command::new(artifact("debug/examples/why_scale")).arg(plot).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let page = fs::read_to_string(root().join("docs/why.md"))?;
    match stale(&page, &printed) {
        Some(line) => Err(format!("docs/why.md has a line that the example why_scale does not print: {line}").into()),
        None => Ok(()),
    }
}

/// A line of a table on the page that was not printed.
fn stale<'a>(page: &'a str, printed: &str) -> Option<&'a str> {
    let tables = page
        .split("```text\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut rows = tables
        .flat_map(str::lines)
        .filter(|line| {
            line.trim_start()
                .starts_with(|first: char| first.is_ascii_digit() || first == '-')
        })
        .peekable();
    if rows.peek().is_none() {
        return Some("(no table at all)");
    }
    rows.find(|row| !printed.lines().any(|line| line == *row))
}

/// The NumPy of the guide gives the masks of the vectors.
fn python() -> Result<(), Failure> {
    succeed(Command::new(provide()?).arg(root().join("docs/elsewhere.py")))
}

/// A Python with NumPy: there, or installed.
pub fn provide() -> Result<&'static str, Failure> {
    // The system's own is the one that Debian's package is for.
    let find = || {
        ["python3", "/usr/bin/python3"]
            .into_iter()
            .find(|python| has_numpy(python))
    };
    if let Some(python) = find() {
        return Ok(python);
    }
    if adapters::is_debian() && adapters::is_root() {
        adapters::install(&["python3", "python3-numpy"])?;
    }
    find().ok_or_else(|| "the guide's NumPy is run as a test: install Python 3 and NumPy (pip install numpy)".into())
}

fn has_numpy(python: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", "import numpy"]).stderr(Stdio::null());
    import.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::stale;

    #[test]
    fn what_was_not_printed_is_found() {
        let page = "text\n```text\n  p  mean\n  0.1  2\n```\nand\n```text\n -3.0  1\n```\n";
        assert_eq!(stale(page, "  p  mean\n  0.1  2\n\n -3.0  1\n"), None);
        assert_eq!(stale(page, "  p  mean\n  0.1  3\n\n -3.0  1\n"), Some("  0.1  2"));
        assert_eq!(stale(page, "  0.1  2\n"), Some(" -3.0  1"));
        assert!(stale("no table", "").is_some());
    }
}
