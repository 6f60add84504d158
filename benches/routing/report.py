"""The table of a scenario: medians over rounds, ratios within a round, and the marks."""

import statistics

import proxies

COLUMNS = ["p50_ms", "p90_ms", "p99_ms", "p99.9_ms"]


def rounds_of(data: dict) -> dict[int, dict[str, dict]]:
    """Round ▸ row ▸ run, without those whose generator was late."""
    found: dict[int, dict[str, dict]] = {}
    for run in data["runs"]:
        if not run["late"]:
            found.setdefault(run["round"], {})[run["proxy"]] = run
    return found


def ratios(rounds: dict[int, dict[str, dict]], name: str, reference: str) -> list[float]:
    """p99 of `name` over that of `reference` in the rounds that have both."""
    both = [runs for runs in rounds.values() if name in runs and reference in runs]
    return [runs[name]["p99_ms"] / runs[reference]["p99_ms"] for runs in both]


def best(rows: dict[str, dict], names: list[str]) -> str | None:
    """The row with the lowest median p99."""
    there = [name for name in names if name in rows]
    return min(there, key=lambda name: rows[name]["p99_ms"], default=None)


def spread(values: list[float]) -> dict | None:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)} if values else None


def table(data: dict) -> dict:
    rounds = rounds_of(data)
    rows = {}
    for name in proxies.NAMES:
        runs = [of_round[name] for of_round in rounds.values() if name in of_round]
        late = sum(run["late"] for run in data["runs"] if run["proxy"] == name)
        if not runs:
            continue
        median = {key: statistics.median(run[key] for run in runs)
                  for key in [*COLUMNS, "mean_ms", "utilisation", "proxy_cpu_ratio", "generator_cpu_ratio", "late_p99_ms"]}
        hits = [run["hit_ratio"] for run in runs if run["hit_ratio"] is not None]
        total = {key: sum(run[key] for run in runs) for key in ["requests", "errors", "dropped"]}
        rows[name] = median | total | {"rounds": len(runs), "late_runs": late,
                                       "hit_ratio": statistics.median(hits) if hits else None}
    peer = best(rows, list(proxies.PEERS))
    robin = best(rows, proxies.PEER_ROUND_ROBINS)
    for name, row in rows.items():
        row["p99_over_best_peer"] = spread(ratios(rounds, name, peer)) if peer else None
    return {
        "rows": rows,
        "best_peer": peer,
        "best_peer_round_robin": robin,
        "predictive_over_best_peer": spread(ratios(rounds, proxies.PREDICTIVE, peer)) if peer else None,
        "round_robin_over_best_peer": spread(ratios(rounds, proxies.ROUND_ROBIN, robin)) if robin else None,
    }


def said(values: dict | None) -> str:
    return f"{values['median']:.2f} [{values['min']:.2f}, {values['max']:.2f}]" if values else "-"


def verdict(values: dict | None, mark: float) -> str:
    if values is None:
        return "not measured"
    return "met" if values["median"] <= mark else "missed"


def markdown(data: dict) -> str:
    found = data["table"]
    rows = found["rows"]
    has_cache = any(row["hit_ratio"] is not None for row in rows.values())
    heads = ["p99 over best peer", "p50", "p90", "p99", "p99.9", "requests", "errors", "workers busy"]
    heads += ["cache hits"] if has_cache else []
    heads += ["proxy CPU", "late p99"]
    lines = [
        f"# Routing on sockets, {data['scenario']}",
        "",
        f"{data['about'][0].upper()}{data['about'][1:]}. {data['rate_rps']:g} requests/s (Poisson, open loop); "
        f"{len({run['round'] for run in data['runs']})} round(s) of {data['seconds']:g} s after a warm-up of {data['warmup']:g} s; "
        f"{data['date']}, {data['machine']}.",
        "Latencies in ms, medians over rounds; ratios within a round, median [min, max]; errors and requests of all rounds; "
        "`proxy CPU` in cores, `late` is the generator's own lateness in ms.",
        "",
        "| proxy | " + " | ".join(heads) + " |",
        "| --- |" + " ---: |" * len(heads),
    ]
    for name, row in rows.items():
        cells = [said(row["p99_over_best_peer"]), *(f"{row[key]:.1f}" for key in COLUMNS), str(row["requests"]),
                 str(row["errors"] + row["dropped"]), f"{row['utilisation']:.0%}"]
        cells += [f"{row['hit_ratio']:.0%}" if row["hit_ratio"] is not None else "-"] if has_cache else []
        cells += [f"{row['proxy_cpu_ratio']:.2f}", f"{row['late_p99_ms']:.1f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    over_peer, robin = found["predictive_over_best_peer"], found["round_robin_over_best_peer"]
    late = sum(run["late"] for run in data["runs"])
    lines += [
        "",
        "| mark | at most | measured | |",
        "| --- | ---: | ---: | --- |",
        f"| p99 of predictive over the best peer ({found['best_peer']}) | {data['mark']:g} | {said(over_peer)} | "
        f"{verdict(over_peer, data['mark'])} |",
        f"| p99 of Tailcast round_robin over the best peer's ({found['best_peer_round_robin']}) | 1.05 | {said(robin)} | "
        f"{verdict(robin, 1.05)} |",
        "",
    ]
    if late:
        lines += [f"{late} runs are left out, because the generator was late.", ""]
    for name, training in data["training"].items():
        gate = "" if training["written"] else "; refused by the gate, so the row ran without a model"
        lines += [f"{name}: trained on {training['seconds']:g} s under {training['policy']} (another seed), held-out loss "
                  f"{training['held_out_loss']:.4f}{gate}.", ""]
    lines += [f"![Latency distributions](routing-{data['scenario']}.svg)", "", f"Versions: {data['versions']}."]
    return "\n".join(lines) + "\n"
