//! The guide: what it quotes and links to is there. Its Rust is run with the doc tests.

#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use std::path::Path;

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What the first column of a table has in code font.
fn quoted(table: &str) -> Vec<&str> {
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(quoted, _)| quoted)
        .collect()
}

#[test]
fn messages_of_the_guide_are_messages() {
    let (guide, errors, lost) = (
        text("docs/troubleshooting.md"),
        text("docs/errors.md"),
        text("src/gpu/error.rs"),
    );
    let messages = quoted(&guide);
    assert!(messages.len() > 8, "{messages:?}");
    for message in messages {
        assert!(errors.contains(message) || lost.contains(message), "{message}");
    }
}

#[test]
fn the_guide_has_every_page_and_its_links_lead_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = text("docs/SUMMARY.md");
    let mut links = 0;
    for entry in docs.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name}");
        let page = text(&format!("docs/{name}"));
        for target in page.split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.starts_with("http") {
                assert!(docs.join(target).exists(), "{name} links to {target}");
                links += 1;
            }
        }
    }
    assert!(links > 20, "{links}");
}

#[cfg(feature = "gpu")]
#[test]
fn as_many_variants_as_are_told_of() {
    let variants = wgpu_dropout::gpu::Variant::all().count().to_string();
    for page in ["docs/kernels.md", "ARCHITECTURE.md"] {
        assert!(text(page).contains(&variants), "{page}: {variants}");
    }
}

/// The library's files, each with its text.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// Whether a line declares it: as an item, a field or a variant.
fn declares(line: &str, name: &str) -> bool {
    let line = line.trim_start().trim_start_matches("pub ");
    let keywords = ["const ", "async ", "fn ", "struct ", "enum ", "trait ", "mod "];
    let declared = keywords
        .iter()
        .fold(line, |line, keyword| line.trim_start_matches(keyword));
    declared
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with([',', '(', '<', ':', ';', ' ']))
}

#[test]
fn what_the_guide_names_is_there() {
    let sources = sources();
    let is_there = |name: &str| {
        let mut lines = sources.iter().flat_map(|(_, text)| text.lines());
        lines.any(|line| declares(line, name))
    };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = docs.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut named = 0;
    for path in pages.chain([docs.join("../README.md")]) {
        let page = std::fs::read_to_string(&path).unwrap();
        // What is in code font, but no block of code.
        let prose: String = page.split("```").step_by(2).collect();
        for quoted in prose.split('`').skip(1).step_by(2) {
            let is_path = quoted.chars().all(|c| c.is_alphanumeric() || "_:".contains(c));
            let Some((first, _)) = quoted.split_once("::").filter(|_| is_path) else {
                continue;
            };
            // Of this crate, not of another; what selects tests is the beginning of names.
            if is_there(first) && !quoted.contains("::tests::") {
                let last = quoted.rsplit("::").next().unwrap();
                assert!(is_there(last), "{}: {quoted}", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 50, "{named}");
}

/// A public item of a source file, with the documentation above it.
struct Item<'a> {
    name: &'a str,
    /// Of a method: the type that it is of.
    of: Option<&'a str>,
    docs: String,
}

/// The public items of a text as rustfmt leaves it: those of the file, and those of its implementations.
fn public_items(text: &str) -> Vec<Item<'_>> {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    let lines: Vec<_> = text.lines().collect();
    let mut of = None;
    let mut items = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        if line.starts_with("impl") {
            let implemented = line.trim_end_matches(" {").rsplit(' ').next().unwrap();
            of = implemented.split('<').next();
        } else if *line == "}" {
            of = None;
        }
        let Some(declared) = line.trim_start().strip_prefix("pub ") else {
            continue;
        };
        let mut words = declared.split([' ', '(', '<', ':', ';']);
        let keyword = words.by_ref().find(|word| !["const", "async"].contains(word));
        let name = match keyword {
            Some("fn" | "struct" | "enum" | "trait") => words.next().unwrap(),
            // A constant, whose name came right after.
            Some(name) if declared.starts_with("const ") => name,
            // A field, a module, what is exported from elsewhere.
            _ => continue,
        };
        // The comment above, and attributes below it that may take several lines.
        let above = lines[..n].iter().rev().map(|line| line.trim_start());
        let above: Vec<_> = above
            .take_while(|line| line.starts_with("///") || !(line.is_empty() || line.ends_with(['}', '{', ';'])))
            .collect();
        if !above.contains(&"#[doc(hidden)]") {
            let docs = above.iter().rev().filter_map(|line| line.strip_prefix("///"));
            items.push(Item {
                name,
                of,
                docs: docs.collect::<Vec<_>>().join("\n"),
            });
        }
    }
    items
}

/// The code in a documentation.
fn code(docs: &str) -> String {
    docs.split("```").skip(1).step_by(2).collect()
}

/// An item's example is its own; a method's may be the one of its type, which then calls it.
#[test]
fn every_public_item_has_an_example() {
    // Public for a sealed trait's sake alone: no one can name what is in there.
    let unreachable = [
        "cpu/job.rs: Compiled",
        "cpu/job.rs: Job",
        "cpu/scale.rs: Scale",
        "cpu/words.rs: Compute",
        "cpu/words.rs: Instructions",
        "cpu/words.rs: Blocks",
        "cpu/words.rs: Sequence",
        "cpu/words.rs: TakeWords",
        "element.rs: Sealed",
    ];
    let (mut total, mut without) = (0, Vec::new());
    for (name, text) in sources() {
        let items = public_items(&text);
        total += items.len();
        for item in &items {
            let of_type = items
                .iter()
                .find(|other| other.of.is_none() && Some(other.name) == item.of);
            let calls = |code: &str| {
                [format!(".{}(", item.name), format!("::{}", item.name)]
                    .iter()
                    .any(|call| code.contains(call))
            };
            if code(&item.docs).is_empty() && !of_type.is_some_and(|of| calls(&code(&of.docs))) {
                without.push(format!("{name}: {}", item.name));
            }
        }
    }
    without.retain(|item| !unreachable.contains(&item.as_str()));
    assert!(total > 200, "{total}");
    assert!(without.is_empty(), "no example: {without:#?}");
}
