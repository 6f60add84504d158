//! An import from file to file.

use super::rejects::LateFile;
use super::{ImportError, ImportOptions, ImportReport, import};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Name that stands for standard input.
const STDIN: &str = "-";

/// Imports `input` (`-` is standard input) into the trace file `output`. A sample of the lines that could not be
/// read goes to `rejects`, which does not exist afterwards where all could be read. `output` is written whole or
/// not at all.
///
/// # Errors
/// As [`import`]; also where a file cannot be opened or written, or two of the three are the same.
pub fn import_file(
    input: &Path,
    output: &Path,
    rejects: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<ImportReport, ImportError> {
    for (first, a, second, b) in [
        ("the input", input, "the output", output),
        ("the input", input, "the reject file", rejects),
        ("the output", output, "the reject file", rejects),
    ] {
        if same(a, b) {
            return Err(ImportError::SameFile { first, second, file: b.display().to_string() });
        }
    }
    let reader: Box<dyn Read> = if input == Path::new(STDIN) {
        Box::new(io::stdin().lock())
    } else {
        let open = |source| ImportError::Open { file: input.display().to_string(), source };
        let file = File::open(input).map_err(open)?;
        // Opening a folder works on Unix, and reading it then fails with less of a reason.
        if file.metadata().map_err(open)?.is_dir() {
            return Err(open(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        Box::new(file)
    };
    let mut sample = LateFile::new(rejects);
    let imported = import(reader, &mut sample, options, progress);
    let ended = sample.finish().map_err(|source| ImportError::Rejects { source });
    let (trace, report) = imported?;
    ended?;
    trace.write(output)?;
    Ok(report)
}

/// Whether two paths are one file, by whatever way they name it.
fn same(a: &Path, b: &Path) -> bool {
    if a == b {
        return true;
    }
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::Format;
    use super::*;
    use crate::Trace;
    use std::fs;

    const GOOD: &str = "10.0.0.1 - - [10/Oct/2023:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 12\n";

    #[test]
    fn a_file_becomes_a_trace_and_rejects_go_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let [input, output, rejects] = ["in.log", "out.parquet", "out.rejects"].map(|name| folder.path().join(name));
        fs::write(&input, format!("{GOOD}junk\n")).unwrap();
        let options = ImportOptions::new(Format::Clf);
        let mut bytes = 0;
        let report = import_file(&input, &output, &rejects, &options, &mut |read| bytes = read).unwrap();
        assert_eq!((report.lines, report.imported, report.rejected), (2, 1, 1));
        assert_eq!(bytes, fs::metadata(&input).unwrap().len());
        assert_eq!(Trace::read(&output).unwrap().len(), 1);
        assert!(fs::read_to_string(&rejects).unwrap().contains("2\tnot an access-log line of this format\tjunk"));

        fs::write(&input, GOOD).unwrap();
        import_file(&input, &output, &rejects, &options, &mut |_| {}).unwrap();
        assert!(!rejects.exists());
    }

    #[test]
    fn a_failed_import_leaves_the_old_trace_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [input, output, rejects] = ["in.log", "out.parquet", "out.rejects"].map(|name| folder.path().join(name));
        fs::write(&input, "junk\n").unwrap();
        fs::write(&output, "precious").unwrap();
        let options = ImportOptions::new(Format::Clf);
        let error = import_file(&input, &output, &rejects, &options, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("none of 1 lines could be read as clf"), "{error}");
        assert_eq!(fs::read(&output).unwrap(), b"precious");
        assert!(rejects.exists());
    }

    #[test]
    fn files_that_are_the_same_or_absent_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, GOOD).unwrap();
        let options = ImportOptions::new(Format::Clf);
        let run = |input: &Path, output: &Path, rejects: &Path| {
            import_file(input, output, rejects, &options, &mut |_| {}).unwrap_err().to_string()
        };
        let twisted = folder.path().join("../").join(folder.path().file_name().unwrap()).join("a");
        assert!(run(&path, &twisted, Path::new("r")).contains("must be different"));
        assert!(run(&path, Path::new("o"), Path::new("o")).contains("the output and the reject file"));
        assert!(run(&folder.path().join("absent"), Path::new("o"), Path::new("r")).contains("absent"));
        assert!(run(folder.path(), Path::new("o"), Path::new("r")).contains("cannot open"));
    }
}
