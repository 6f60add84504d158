"""What the endpoints are like and what is asked of them. Service times are log-normal; `sigma` is that of their logarithm.

Every rate is about 70 % of what a router that sees neither classes nor caches can bear, so that no peer is in overload: in
overload any p99 can be had by waiting long enough, and the comparison would be of queues and not of choices.
"""

from dataclasses import dataclass, field

# The 99th percentile of a service is then 3.2 times its median: in between a fixed and an exponential time.
SIGMA = 0.5

# Workers of an endpoint. Few, so that a wrong choice waits.
WORKERS = 4


@dataclass(frozen=True)
class Endpoint:
    name: str
    # Mean service time by path prefix, milliseconds.
    routes: dict[str, float]
    cache: int | None = None
    miss_factor: float = 1.0


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    endpoints: list[Endpoint]
    rate_rps: float
    # Predictive p99 over that of the best peer, at most.
    mark: float
    # Share of requests by route.
    routes: dict[str, float] = field(default_factory=lambda: {"/items": 1.0})
    tenants: int = 20
    zipf: float = 1.0


def pairs() -> Scenario:
    # Blind mean (10 + 50) / 2 = 30 ms on 48 workers: 1,600 requests/s.
    fast, slow = 10.0, 50.0
    compute = [Endpoint(f"compute-{i + 1}", {"/search": fast, "/render": slow}) for i in range(6)]
    memory = [Endpoint(f"memory-{i + 1}", {"/search": slow, "/render": fast}) for i in range(6)]
    return Scenario(
        "pairs",
        "two classes of six endpoints, two routes, each 10 ms on one class and 50 ms on the other",
        compute + memory,
        rate_rps=1_120.0,
        mark=0.5,
        routes={"/search": 1.0, "/render": 1.0},
    )


def cache() -> Scenario:
    # A blind router finds 53 % of the requests in a cache: 33.5 ms on 48 workers, 1,430 requests/s.
    endpoints = [Endpoint(f"node-{i + 1}", {"/items": 10.0}, cache=24, miss_factor=6.0) for i in range(12)]
    return Scenario(
        "cache",
        "240 tenants by Zipf(1.05), each of twelve equal endpoints holds the 24 that it served last; 10 ms, a miss 60 ms",
        endpoints,
        rate_rps=1_000.0,
        mark=0.5,
        tenants=240,
        zipf=1.05,
    )


def heterogeneous() -> Scenario:
    # 4 endpoints x 4 workers x (1 + 0.6 + 0.3) / 20 ms: 1,520 requests/s.
    speeds = {"fast": 1.0, "middle": 0.6, "slow": 0.3}
    endpoints = [Endpoint(f"{name}-{i + 1}", {"/items": 20.0 / speed}) for name, speed in speeds.items() for i in range(4)]
    return Scenario(
        "heterogeneous",
        "four endpoints each of speed 1, 0.6 and 0.3; 20 ms at speed 1; one route, nothing tells requests apart",
        endpoints,
        rate_rps=1_060.0,
        mark=0.8,
    )


def homogeneous() -> Scenario:
    # 48 workers / 20 ms: 2,400 requests/s.
    endpoints = [Endpoint(f"node-{i + 1}", {"/items": 20.0}) for i in range(12)]
    return Scenario(
        "homogeneous",
        "twelve equal endpoints, one route of 20 ms: nothing to learn, nothing to lose",
        endpoints,
        rate_rps=1_680.0,
        mark=1.05,
    )


ALL = {scenario.name: scenario for scenario in (pairs(), cache(), heterogeneous(), homogeneous())}
