//! The colours that plots and page share.
//!
//! plotters writes a colour as an attribute of each element. CSS goes before attributes, so a rule for each colour
//! gives the plot the page's variable, and with it the dark and the print version. Rejected: drawing every plot
//! twice, once for each scheme.

use plotters::style::RGBColor;
use std::fmt::Write;

/// One colour: its variable, its value on light paper, which is what plots are drawn in, and that in the dark.
pub(super) struct Swatch {
    variable: &'static str,
    light: RGBColor,
    dark: RGBColor,
}

/// Text.
pub(super) const INK: RGBColor = RGBColor(0x1c, 0x23, 0x30);
/// Labels of axes and notes.
pub(super) const MUTED: RGBColor = RGBColor(0x57, 0x60, 0x6f);
/// Grid lines and borders.
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xe1, 0xe7);
/// The control policy. Orange and blue are told apart by all common kinds of colour blindness.
pub(super) const CONTROL: RGBColor = RGBColor(0xb4, 0x53, 0x09);
/// The treatment policy, and the model.
pub(super) const TREATMENT: RGBColor = RGBColor(0x1d, 0x4e, 0xd8);
/// Events, and what would be right where a plot has a target.
pub(super) const EVENT: RGBColor = RGBColor(0xbe, 0x12, 0x3c);
/// Baselines and everything that is only for comparison.
pub(super) const PLAIN: RGBColor = RGBColor(0x94, 0xa3, 0xb8);
/// The paper that plots are drawn on.
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xfe);

/// All of them.
pub(super) const SWATCHES: [Swatch; 8] = [
    Swatch { variable: "ink", light: INK, dark: RGBColor(0xe6, 0xe9, 0xef) },
    Swatch { variable: "muted", light: MUTED, dark: RGBColor(0xa3, 0xad, 0xbb) },
    Swatch { variable: "grid", light: GRID, dark: RGBColor(0x33, 0x3c, 0x4b) },
    Swatch { variable: "control", light: CONTROL, dark: RGBColor(0xf5, 0xa1, 0x4b) },
    Swatch { variable: "treatment", light: TREATMENT, dark: RGBColor(0x7a, 0xb0, 0xff) },
    Swatch { variable: "event", light: EVENT, dark: RGBColor(0xff, 0x7a, 0x93) },
    Swatch { variable: "plain", light: PLAIN, dark: RGBColor(0x64, 0x74, 0x8b) },
    Swatch { variable: "paper", light: PAPER, dark: RGBColor(0x18, 0x1e, 0x28) },
];

/// `#rrggbb`.
pub(super) fn hex(colour: RGBColor) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.0, colour.1, colour.2)
}

/// Declarations of the variables, light or dark.
pub(super) fn variables(dark: bool) -> String {
    SWATCHES.iter().fold(String::new(), |mut css, swatch| {
        let colour = if dark { swatch.dark } else { swatch.light };
        let _ = write!(css, "--{}:{};", swatch.variable, hex(colour));
        css
    })
}

/// The rules that give plots the page's variables.
pub(super) fn rules() -> String {
    SWATCHES.iter().fold(String::new(), |mut css, swatch| {
        let (light, variable) = (hex(swatch.light), swatch.variable);
        // `i`: plotters writes capital digits.
        let _ = writeln!(css, "svg [fill=\"{light}\" i]{{fill:var(--{variable})}}");
        let _ = writeln!(css, "svg [stroke=\"{light}\" i]{{stroke:var(--{variable})}}");
        css
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: RGBColor) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(colour.0) + 0.7152 * linear(colour.1) + 0.0722 * linear(colour.2)
    }

    fn contrast(a: RGBColor, b: RGBColor) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_arms_are_readable_in_light_and_dark() {
        let paper = &SWATCHES[7];
        for swatch in
            SWATCHES.iter().filter(|one| ["ink", "muted", "control", "treatment", "event"].contains(&one.variable))
        {
            assert!(contrast(swatch.light, paper.light) >= 4.5, "{} in the light", swatch.variable);
            assert!(contrast(swatch.dark, paper.dark) >= 4.5, "{} in the dark", swatch.variable);
        }
    }
}
