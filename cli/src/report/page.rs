//! The page: headline numbers, then latency, time, groups, routing, the model, and how all of it was measured.

use super::data::{AbData, ReportData};
use super::{model_page, plots, style, tables};
use crate::table::millis;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The whole page.
pub(super) fn render(data: &ReportData<'_>) -> anyhow::Result<String> {
    let ab = data.ab.as_ref().map(comparison).transpose()?;
    let model = data.model.map(model_page::section).transpose()?;
    let content = html! {
        div.cards {
            @if let Some(ab) = &data.ab { (headline(ab)) }
            @if let Some(report) = data.model { (model_page::cards(report)) }
        }
        @if let Some(ab) = ab { (ab) }
        @if let Some(model) = model { (model) }
        @if !data.facts.is_empty() || data.ab.is_some() { (measured(data)) }
    };
    Ok(document(&data.title, &content))
}

/// A page with its title and its style.
pub(super) fn document(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Tailcast" }
                style { (PreEscaped(style::sheet())) }
            }
            body { main {
                h1 { (title) }
                p.note { "Tailcast " (env!("CARGO_PKG_VERSION")) }
                (content)
            } }
        }
    };
    page.into_string()
}

/// One headline number.
pub(super) fn card(value: &str, class: &str, words: &str) -> Markup {
    html! { div.card { b class=(class) { (value) } span { (words) } } }
}

/// A plot with its caption; `key` names the arms where the plot shows both.
pub(super) fn figure(title: &str, words: &str, key: Option<[&str; 2]>, svg: String) -> Markup {
    html! {
        figure {
            figcaption {
                strong { (title) }
                (words)
                @if let Some([control, treatment]) = key {
                    div { span.key {
                        span { i.control {} (control) }
                        span { i.treatment {} (treatment) }
                    } }
                }
            }
            (PreEscaped(svg))
        }
    }
}

fn headline(ab: &AbData) -> Markup {
    let (control, treatment, ratio) = (&ab.all.control, &ab.all.treatment, ab.all.p99_ratio);
    let names = [&ab.arms[0].name, &ab.arms[1].name];
    let errors = control.errors + treatment.errors;
    let ratio = crate::comparison::ratio(ratio);
    let words = ratio.split_once(' ').unwrap_or((&ratio, ""));
    html! {
        (card(words.0, "", &format!("p99 of {} over {}, 95 % interval {}", names[1], names[0], words.1)))
        (card(&format!("{} ms", millis(control.p99_ms)), "control", &format!("p99 under {}", names[0])))
        (card(&format!("{} ms", millis(treatment.p99_ms)), "treatment", &format!("p99 under {}", names[1])))
        (card(&tables::count(errors), "", &format!(
            "failed of {} requests", tables::count(control.requests + treatment.requests)
        )))
        @for phase in &ab.phases {
            (card(&format!("{:.2}", phase.p99_ratio.value), "", &format!("p99 ratio {}", phase.name)))
        }
    }
}

fn comparison(ab: &AbData) -> anyhow::Result<Markup> {
    let names = [ab.arms[0].name.as_str(), ab.arms[1].name.as_str()];
    let key = Some(names);
    let distributions = plots::distributions(ab)?;
    let (bars, timeline) = (plots::tail_bars(ab)?, plots::timeline(ab)?);
    let shares = if ab.shares.is_empty() { None } else { Some(plots::shares(&ab.shares)?) };
    Ok(html! {
        h2 { "Latency" }
        (tables::arms(ab))
        (figure(
            "How many requests were answered within a time",
            "The share is drawn on the scale of nines, so that the tail is as large as the middle.",
            key, distributions
        ))
        div.grid {
            (figure("The tail and how sure it is", "95 % intervals from a bootstrap over the blocks.", key, bars))
            @if let Some(shares) = shares {
                (figure("Who answered", "Share of each arm's requests by endpoint.", key, shares))
            }
        }
        h2 { "Over time" }
        (figure(
            "p99 of each block",
            "The same slice of traffic is played under both policies, one after the other, in alternating order.",
            key, timeline
        ))
        @if !ab.phases.is_empty() { (tables::comparisons("phase", names, &ab.phases)) }
        @if !ab.tenant_groups.is_empty() {
            h2 { "By tenant group" }
            (tables::comparisons("tenants", names, &ab.tenant_groups))
            p.note {
                "Groups by share of traffic: the large tenants together send half of all requests, the medium ones "
                "the next three tenths, the small ones the rest."
            }
        }
        @if !ab.routes.is_empty() {
            h2 { "By route" }
            (tables::comparisons("route", names, &ab.routes))
        }
    })
}

fn measured(data: &ReportData<'_>) -> Markup {
    html! {
        h2 { "How this was measured" }
        @if data.ab.is_some() {
            p {
                "Open loop: every request is sent at its intended time, whatever became of the others, and its latency "
                "counts from that time to the last byte of the answer. Percentiles are nearest-rank. A ratio's interval "
                "is the percentile bootstrap over blocks of the run, both arms of a slice drawn together."
            }
        }
        div.panel { dl { @for (name, value) in &data.facts { dt { (name) } dd { (value) } } } }
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::tests::played;
    use super::*;
    use crate::ab::{compare, compare_by};

    #[test]
    fn the_page_is_whole_and_fetches_nothing() -> anyhow::Result<()> {
        let played = played();
        let all = compare("all", &played.observations, 1, |_| true);
        let routes = compare_by(&played.observations, 1, |one| one.route.to_string());
        let data = ReportData::of_ab("predictive against round_robin", ["round_robin", "predictive"], &all, &played);
        let html = render(&data.with_groups(&routes, &routes).with_fact("seed", "1"))?;
        for part in ["0.50", "495 ms", "By route", "Who answered", "prefers-color-scheme:dark", "@media print", "seed"]
        {
            assert!(html.contains(part), "{part} is missing");
        }
        let addresses = html.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http:", "https:", "<script", "<link", "url(", "@import", "src="] {
            assert!(!addresses.contains(foreign), "the page fetches: {foreign}");
        }
        Ok(())
    }
}
