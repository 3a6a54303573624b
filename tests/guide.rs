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
