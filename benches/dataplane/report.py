"""Rounds as a table: medians, the ratio to the reference within a round, and what log and routing cost within a round."""

import argparse
import datetime
import os
import platform
import statistics

import peers
from scenarios import FULL, PLAIN, Scenario


def paired(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shares(rounds: list[dict], key: str) -> dict[str, float] | None:
    """(full − plain) / full of the same round, where both were run."""
    if key != "cpu_us" or PLAIN not in rounds[0] or FULL not in rounds[0]:
        return None
    return paired([(found[FULL][key] - found[PLAIN][key]) / found[FULL][key] for found in rounds])


def report(scenario: Scenario, args: argparse.Namespace, rounds: list[dict]) -> tuple[str, dict]:
    """Markdown, and the same as data."""
    key, reference, names = scenario.key, scenario.reference, list(rounds[0])
    table = {}
    for name in names:
        # Errors are never averaged away.
        row = {one: statistics.median(found[name][one] for found in rounds) for one in rounds[0][name]}
        row["errors"] = sum(found[name]["errors"] for found in rounds)
        if reference in names:
            row["ratio"] = paired([found[name][key] / found[reference][key] for found in rounds])
        table[name] = row
    columns = [key] + [one for one in rounds[0][names[0]] if one not in (key, "requests")]
    endpoints = f"{peers.ENDPOINTS} endpoints, {peers.PREDICTIVE_ENDPOINTS} for `predictive`"
    lines = [
        f"# Data plane, {args.scenario}",
        "",
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores; {scenario.what}; {endpoints}; {args.rounds} rounds "
        f"of {args.seconds} s; medians, errors in all; ratio of `{key}` to {reference} within a round: median [min, max].",
        "",
        "| proxy | ratio | " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for name, row in table.items():
        ratio = "{median:.3f} [{min:.3f}, {max:.3f}]".format(**row["ratio"]) if "ratio" in row else "-"
        cells = [f"{row[one]:.0f}" if one in ("errors", "connections", "idle") else f"{row[one]:.2f}" for one in columns]
        lines.append(f"| {name} | {ratio} | " + " | ".join(cells) + " |")
    share = shares(rounds, key)
    if share:
        lines += [
            "",
            "Log and routing together, (`{}` − `{}`) / `{}` within a round: {median:.1%} [{min:.1%}, {max:.1%}].".format(
                FULL, PLAIN, FULL, **share
            ),
        ]
    return "\n".join(lines) + "\n", {"rounds": rounds, "table": table, "log_and_routing_share": share}
