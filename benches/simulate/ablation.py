#!/usr/bin/env python3
"""Joins the reports of `tailcast eval simulate --ablation --json` into one table: what each part of the rule is worth.

usage: ablation.py REPORT.json… > ablation.md

A figure is the p99 (or, where servers fail, the failed requests) without the part over that of the whole rule: above 1
the part pays. Bold is what the intervals over seeds tell apart.
"""

import json
import sys

FAILURES = "a8_sinkhole"


def estimate(row, scenario):
    if scenario == FAILURES:
        return row["errors"] + row["timeouts"], 0.0
    return row["p99_ms"]["mean"], row["p99_ms"]["half"] or 0.0


def main(files):
    columns, parts = [], {}
    for file in files:
        with open(file, encoding="utf-8") as source:
            report = json.load(source)
        scenario = report["scenario"]
        for cell in report["cells"]:
            rows = {row["policy"]: estimate(row, scenario) for row in cell["rows"]}
            whole = rows.get("predictive")
            if whole is None:
                sys.exit(f"{file}: no row of predictive")
            unit = "failed" if scenario == FAILURES else "ms"
            columns.append((scenario, cell["label"], f"{whole[0]:.1f} {unit}"))
            for name, found in rows.items():
                if name.startswith("predictive-"):
                    parts.setdefault(name.removeprefix("predictive-"), {})[len(columns) - 1] = (whole, found)
    print("| part left out | " + " | ".join(f"{scenario}: {label}" for scenario, label, _ in columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    print("| none | " + " | ".join(whole for _, _, whole in columns) + " |")
    for part, cells in parts.items():
        line = []
        for column in range(len(columns)):
            if column not in cells:
                line.append("")
                continue
            (whole, spread), (found, other) = cells[column]
            ratio = f"{found / max(whole, 1e-9):.2f}"
            line.append(f"**{ratio}**" if abs(found - whole) > spread + other > 0 else ratio)
        print(f"| {part} | " + " | ".join(line) + " |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
