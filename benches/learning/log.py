#!/usr/bin/env python3
"""A log of ten million rows: written once, then loaded, checked and split, and removed."""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", required=True, help="folder of the built examples")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--log", help="use the log in this folder; written, and kept, where it is empty or absent")
    parser.add_argument("--json", help="write the result here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(options.log or directory)
        if not list(log.glob("*.parquet")):
            subprocess.run([f"{options.examples}/synthetic_log", log, str(options.rows)], check=True)
        size = sum(path.stat().st_size for path in log.glob("*.parquet"))
        turns = []
        for _ in range(options.turns):
            scan = subprocess.run([f"{options.examples}/scan_log", log], check=True, capture_output=True, text=True)
            turns.append(json.loads(scan.stdout))
        found = {
            "rows": turns[0]["rows"],
            "bytes_a_row": size / turns[0]["rows"],
            "median_secs": statistics.median(turn["total_secs"] for turn in turns),
            "peak_gib": max(turn["peak_gib"] for turn in turns),
            "turns": turns,
        }
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        pathlib.Path(options.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
