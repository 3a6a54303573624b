//! Tables of what can go wrong, held to the text of `docs/errors.md`.

use std::fmt::Write as _;
use std::path::Path;

/// A kind of mistake: its heading, and for each one what was asked for and the error that came.
pub struct Table {
    pub heading: &'static str,
    pub rows: Vec<(String, String)>,
}

impl Table {
    pub fn new(heading: &'static str) -> Self {
        Self {
            heading,
            rows: Vec::new(),
        }
    }

    /// An error that there must be.
    pub fn refused<T, E: ToString + std::fmt::Debug>(&mut self, what: &str, outcome: Result<T, E>) {
        let error = outcome.map(drop).expect_err(what);
        self.rows.push((what.to_owned(), error.to_string()));
    }
}

fn cell(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words
        .join(" ")
        .replace('|', "\\|")
        .replace('<', "\\<")
        .replace('*', "\\*")
}

/// Compares the tables with what stands between the part's marks in the document, or writes it there where
/// `WGPU_DROPOUT_WRITE_DOCS` is set.
pub fn check(document: &Path, part: &str, tables: &[Table]) {
    let mut text = String::new();
    for Table { heading, rows } in tables {
        write!(text, "\n### {heading}\n\n| given | error |\n|---|---|\n").unwrap();
        for (what, error) in rows {
            writeln!(text, "| {} | {} |", cell(what), cell(error)).unwrap();
        }
    }
    text.push('\n');
    let whole = std::fs::read_to_string(document).unwrap();
    let [begin, end] = ["begin", "end"].map(|side| format!("<!-- {side} {part} -->\n"));
    let from = whole.find(&begin).unwrap() + begin.len();
    let to = whole.find(&end).unwrap();
    if std::env::var_os("WGPU_DROPOUT_WRITE_DOCS").is_some() {
        std::fs::write(document, [&whole[..from], &text, &whole[to..]].concat()).unwrap();
        return;
    }
    for (documented, found) in whole[from..to].lines().zip(text.lines()) {
        assert_eq!(
            documented,
            found,
            "{}: set WGPU_DROPOUT_WRITE_DOCS=1 to write it",
            document.display()
        );
    }
    assert_eq!(
        whole[from..to].lines().count(),
        text.lines().count(),
        "rows of {}",
        document.display()
    );
}
