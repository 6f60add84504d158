//! Progress on stderr: a bar where stderr is a terminal, a line a stage where it is not.
//!
//! Bars are indicatif's. In a log file or a CI job a bar is noise, but silence for a minute is worse, so each
//! stage then says one line when it starts and one when it ends.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// One stage of work.
#[derive(Debug)]
pub struct Stage {
    bar: ProgressBar,
    name: String,
    started: Instant,
    plain: bool,
    ended: bool,
}

impl Stage {
    /// Starts a stage of `total` units (0: unknown) of `unit`.
    pub fn new(name: impl Into<String>, total: u64, unit: &str) -> Self {
        let name = name.into();
        let plain = !std::io::stderr().is_terminal();
        let bar = if total == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(total) };
        if plain {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            eprintln!("{name} …");
        } else {
            let template = if total == 0 {
                "{spinner} {prefix:<34} {elapsed:>4} {msg}".to_owned()
            } else {
                format!("  {{prefix:<34}} {{bar:16}} {{percent:>3}} % eta {{eta:>4}} {{msg}} ({{human_pos}} {unit})")
            };
            // A template that does not parse would be a mistake here, not of the user: the plain style serves.
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, name, started: Instant::now(), plain, ended: false }
    }

    /// Sets the units done.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Sets the text behind the bar.
    pub fn say(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Ends the stage with what came of it.
    pub fn done(mut self, result: impl AsRef<str>) {
        self.ended = true;
        let (result, secs) = (result.as_ref(), self.started.elapsed().as_secs_f64());
        let space = if result.is_empty() { "" } else { " " };
        let line = format!("{:<36} {result}{space}({secs:.1} s)", self.name);
        self.bar.finish_and_clear();
        eprintln!("{}{line}", if self.plain { "" } else { "✓ " });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.ended {
            self.bar.finish_and_clear();
        }
    }
}
