//! Where recorded production traffic lies, for tests that read it in place.
//!
//! The traces are other people's data: they are read where they lie beside the project and never copied in.
//! Where they are absent the test says so and the same code is tested on `datasets/samples`.

use std::path::{Path, PathBuf};

/// Root of the project.
pub fn root() -> &'static Path {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().unwrap_or(crate_root)
}

/// Path of a shared trace, or `None` after saying on stderr that the test is skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = root().join("../shared/traces");
    if !folder.is_dir() {
        eprintln!("skipped: no ../shared/traces");
        return None;
    }
    Some(folder.join(name))
}
