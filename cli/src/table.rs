//! Plain text tables for the terminal: first column left, the others right, widths by content.

/// Lays out rows under a header. Rows that are too short are padded with empty cells.
pub fn layout(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let longest = rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
            longest.max(header[column].chars().count())
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: &dyn Fn(usize) -> String| {
        for (column, width) in widths.iter().enumerate() {
            let cell = cells(column);
            let padded = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            text.push_str(&padded);
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(&|column| header[column].to_owned());
    for row in rows {
        line(&|column| cell(row, column));
    }
    text
}

/// Milliseconds with three significant digits.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => "–".to_owned(),
        ms if ms < 9.995 => format!("{ms:.2}"),
        ms if ms < 99.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_widths() {
        let text = layout(&["name", "p99"], &[vec!["a".into(), "1.00".into()], vec!["longer".into(), "100".into()]]);
        assert_eq!(text, "name     p99\na       1.00\nlonger   100\n");
    }

    #[test]
    fn milliseconds_keep_three_digits() {
        assert_eq!(millis(1.234), "1.23");
        assert_eq!(millis(12.34), "12.3");
        assert_eq!(millis(1234.5), "1234");
        assert_eq!(millis(f64::NAN), "–");
    }
}
