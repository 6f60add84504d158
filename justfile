# Everyday commands; `.ci/run` calls the same ones. List them with `just`.

default:
    @just --list

# The main job: record, train, route, compare.
demo *args:
    cargo run --release -p tailcast -- demo {{args}}

# All tests, in the profile that the demo is built with, so that nothing is compiled twice.
test:
    cargo test --release --workspace

# Formatting and lints, as CI sees them.
lint:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings

# API documentation without warnings.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

# Licences and sources of dependencies (needs cargo-deny).
deny:
    cargo deny check licenses bans sources

# Regenerate the demo trace; a test asserts that the committed file is what this writes.
dataset:
    cargo run --release -p tailcast-datasets --bin generate_demo_trace

# Everything that CI does.
ci:
    bash .ci/run
