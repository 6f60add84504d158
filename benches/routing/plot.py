"""Latency distributions as an SVG: x logarithmic, y in nines, so that the tail is as wide as the rest.

Written by hand and not with matplotlib: one picture of lines needs no package to be installed.
"""

import math
import statistics
from html import escape

import proxies

WIDTH, HEIGHT = 1000, 520
LEFT, RIGHT, TOP, BOTTOM = 64, 280, 48, 48
# Colour by product, dash by policy within it; told apart also without colours by the labels at the lines' ends.
COLOURS = {"nginx": "#2a78d6", "haproxy": "#1baf7a", "envoy": "#8a63d2", "tailcast": "#e0672b"}
DASHES = ["", "7 4", "2 3", "9 3 2 3"]
NINES = [(0.0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")]


def nines(share: float) -> float:
    return -math.log10(1.0 - share)


def curves(data: dict) -> dict[str, list[float]]:
    """Row ▸ quantiles, the median over the rounds of each."""
    found: dict[str, list[list[float]]] = {}
    for run in data["runs"]:
        if not run["late"]:
            found.setdefault(run["proxy"], []).append(run["quantiles_ms"])
    return {name: [statistics.median(values) for values in zip(*found[name])] for name in proxies.NAMES if name in found}


def svg(data: dict) -> str:
    lines = curves(data)
    if not lines:
        return '<svg xmlns="http://www.w3.org/2000/svg"/>\n'
    low = min(values[0] for values in lines.values()) * 0.9
    high = max(values[-1] for values in lines.values()) * 1.1
    top = nines(data["quantiles"][-1])

    def x(ms: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(ms / low) / math.log(high / low)

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * nines(share) / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" '
        'font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="600">Share of requests that are done within a time, '
        f'{escape(data["scenario"])}</text>',
    ]
    for share, label in NINES:
        parts.append(f'<path d="M{LEFT} {y(share):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{label}</text>')
    for ms in (digit * 10**power for power in range(-1, 5) for digit in (1, 2, 5)):
        if low <= ms <= high:
            parts.append(f'<path d="M{x(ms):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>'
                         f'<text x="{x(ms):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{ms:g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">latency, ms</text>')
    used: dict[str, int] = {}
    ordered = sorted(lines, key=lambda name: lines[name][-1])
    for name in lines:
        product = name.split()[0]
        dash = "" if name == proxies.PREDICTIVE else DASHES[used.get(product, 0) % len(DASHES)]
        if name != proxies.PREDICTIVE:
            used[product] = used.get(product, 0) + 1
        width = 3 if name == proxies.PREDICTIVE else 1.5
        points = " ".join(f"{x(ms):.1f},{y(share):.1f}" for ms, share in zip(lines[name], data["quantiles"]))
        style = f'fill="none" stroke="{COLOURS[product]}" stroke-width="{width}" stroke-dasharray="{dash}"'
        # The legend goes by the tail, the best first.
        at = TOP + 14 + 20 * ordered.index(name)
        right = WIDTH - RIGHT + 16
        parts.append(f'<polyline points="{points}" {style}/><path d="M{right} {at}h28" {style}/>'
                     f'<text x="{right + 36}" y="{at + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
