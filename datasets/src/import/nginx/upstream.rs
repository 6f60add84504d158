//! Which of several upstreams answered.
//!
//! nginx writes one value a try into each `$upstream_…` variable: `a, b` for the next server of a group, `a : b`
//! for the group that an internal redirect led to.

/// The upstream that answered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upstream<'a> {
    pub(super) addr: Option<&'a str>,
    pub(super) status: Option<&'a str>,
    pub(super) secs: Option<&'a str>,
}

/// The last try that was answered, else the last try.
pub(super) fn last<'a>(addrs: Option<&'a str>, statuses: Option<&'a str>, secs: Option<&'a str>) -> Upstream<'a> {
    let [addrs, statuses, secs] = [addrs, statuses, secs].map(|list| list.map(items).unwrap_or_default());
    let tries = addrs.len().max(statuses.len()).max(secs.len());
    let get = |list: &[Option<&'a str>], at: usize| list.get(at).copied().flatten();
    let at = (0..tries).rev().find(|at| {
        let status = get(&statuses, *at);
        let answered = if statuses.is_empty() { get(&secs, *at) } else { status };
        // The name of the group stands for its server where none was left alive.
        let group =
            tries > 1 && matches!(status, Some("502" | "504")) && get(&addrs, *at).is_some_and(|a| !a.contains(':'));
        answered.is_some() && !group
    });
    let Some(at) = at.or(tries.checked_sub(1)) else { return Upstream::default() };
    Upstream { addr: get(&addrs, at), status: get(&statuses, at), secs: get(&secs, at) }
}

/// The last item of a list.
pub(super) fn last_item(list: &str) -> &str {
    items(list).last().copied().flatten().unwrap_or("-")
}

fn items(list: &str) -> Vec<Option<&str>> {
    list.split(", ").flat_map(|group| group.split(" : ")).map(super::present).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_upstream_that_answered_counts() {
        for (addrs, statuses, secs, expected) in [
            ("a:1", "200", "0.1", (Some("a:1"), Some("0.1"))),
            ("a:1, b:1", "502, 200", "0.1, 0.2", (Some("b:1"), Some("0.2"))),
            ("a:1 : b:1", "200 : 404", "0.1 : 0.2", (Some("b:1"), Some("0.2"))),
            ("a:1, b:1 : c:1", "502, 302 : 200", "0.1, 0.2 : 0.3", (Some("c:1"), Some("0.3"))),
            ("a:1, b:1", "502, -", "0.1, -", (Some("a:1"), Some("0.1"))),
            ("a:1, group", "502, 502", "0.1, 0.0", (Some("a:1"), Some("0.1"))),
            ("a:1", "-", "-", (Some("a:1"), None)),
            ("unix:/run/app.sock", "200", "0.1", (Some("unix:/run/app.sock"), Some("0.1"))),
            ("app1", "502", "0.1", (Some("app1"), Some("0.1"))),
            ("-", "-", "-", (None, None)),
        ] {
            let found = last(Some(addrs), Some(statuses), Some(secs));
            assert_eq!((found.addr, found.secs), expected, "{addrs} {statuses} {secs}");
        }
        assert_eq!(last(None, None, None), Upstream::default());
        assert_eq!(last(Some("a:1, b:1"), None, Some("-, 0.2")).addr, Some("b:1"));
    }
}
