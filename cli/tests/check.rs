//! `tailcast check`: what a right configuration means, and where a wrong one is wrong.

#![allow(clippy::unwrap_used)]

mod support;

use support::{repository, tailcast};

/// Checks a text; what was said on stderr.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tailcast.toml");
    std::fs::write(&path, text).unwrap();
    let ran = tailcast(["check".as_ref(), "--config".as_ref(), path.as_os_str()]).expect_code(1);
    assert!(ran.stdout().is_empty(), "{}", ran.stdout());
    ran.stderr()
}

#[test]
fn the_shipped_example_is_right_and_explained() {
    let path = repository("deploy/tailcast.example.toml");
    let ran = tailcast(["check".as_ref(), "--config".as_ref(), path.as_os_str()]).expect_code(0);
    for part in ["listener", "pool", "web", "predictive", "tailcast-data/log"] {
        assert!(ran.stdout().contains(part), "{part}:\n{}", ran.stdout());
    }
    assert!(ran.stdout().ends_with('\n'));
}

#[test]
fn a_wrong_value_is_named_with_file_line_key_and_what_is_allowed() {
    let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[pool]]\nname = \"a\"\npolicy = \"magic\"\nendpoints = [\"127.0.0.1:9\"]\n";
    let said = refused(text);
    assert!(said.contains("tailcast.toml:5:10: pool[0].policy") && said.contains("round_robin"), "{said}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let text = "[[listener]]\naddress = \"127.0.0.1:0\"\nadress = 1\n";
    let said = refused(text);
    assert!(said.contains("tailcast.toml:3:") && said.contains("adress") && said.contains("`address`"), "{said}");
}

#[test]
fn a_file_that_is_not_toml_or_not_there_is_named() {
    assert!(refused("workers = [\n").contains("tailcast.toml:"));
    let ran = tailcast(["check", "--config", "no/such/file.toml"]).expect_code(1);
    assert!(ran.stderr().contains("no/such/file.toml"), "{}", ran.stderr());
}
