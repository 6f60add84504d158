//! The style sheet: light and dark by what the reader's system prefers, and print.

use super::palette;

/// Everything inside `<style>`.
pub(super) fn sheet() -> String {
    let (light, dark, rules) = (palette::variables(false), palette::variables(true), palette::rules());
    format!(
        ":root{{color-scheme:light dark;{light}--page:#f4f6f9}}\n\
         @media (prefers-color-scheme:dark){{:root{{{dark}--page:#0f131a}}}}\n\
         @media print{{:root{{color-scheme:light;{light}--page:#ffffff}}}}\n{rules}{LAYOUT}"
    )
}

const LAYOUT: &str = "\
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px}
h2{font-size:20px;margin:40px 0 12px}
h3{font-size:16px;margin:0 0 8px}
p{margin:0 0 12px;max-width:75ch}
.note{color:var(--muted);font-size:14px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin:20px 0 8px}
.card,figure,.panel{background:var(--paper);border:1px solid var(--grid);border-radius:10px}
.card{padding:14px 16px}
.card b{display:block;font-size:28px;line-height:1.2;font-variant-numeric:tabular-nums}
.card span{color:var(--muted);font-size:14px}
.control{color:var(--control)}
.treatment{color:var(--treatment)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:12px}
figure{margin:0 0 12px;padding:14px 16px 10px}
figure svg{display:block;width:100%;height:auto}
figure svg text{font-family:inherit}
figcaption{font-size:14px;color:var(--muted);margin-bottom:6px}
figcaption strong{color:var(--ink);font-size:16px;display:block}
.key{display:inline-flex;gap:16px;margin-top:2px}
.key i{display:inline-block;width:22px;height:0;border-top:4px solid;vertical-align:middle;margin-right:6px}
.panel{padding:8px 16px;margin:0 0 12px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}
th{color:var(--muted);font-weight:600}
tr:last-child td{border-bottom:0}
td.text{text-align:left;white-space:normal}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:0;font-size:14px}
dt{color:var(--muted)}
dd{margin:0}
@media (max-width:520px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
@media print{main{max-width:none;padding:0}figure,.card,.panel,tr{break-inside:avoid}h2{break-after:avoid}body{font-size:11pt}}
";
