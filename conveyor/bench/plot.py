"""The picture of a run: orders over time, and how long requests took."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Loads whose orders are shown over time, each as far as it was measured.
SHOWN = ("orders", "seeded", "naive", "flash")
NEEDED = "matplotlib"


def can_plot() -> bool:
    """Whether what draws is installed."""
    return importlib.util.find_spec(NEEDED) is not None


def draw(results: Mapping[str, Mapping[str, Any]], latencies: Mapping[str, Sequence[float]], file: Path) -> None:
    """Accepted and completed orders of each second, load by load, and the distribution of latencies below them.

    ``latencies`` are seconds by the load's name. Raises ImportError where matplotlib is missing.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    loads = [name for name in SHOWN if "series" in results.get(name, {})]
    figure, axes = pyplot.subplots(len(loads) + 1, 1, figsize=(11, 3.2 * (len(loads) + 1)), squeeze=False)
    for axis, name in zip(axes[:-1, 0], loads, strict=True):
        _orders_over_time(axis, name, results[name]["series"])
    _distribution(axes[-1, 0], latencies)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _orders_over_time(axis: Any, name: str, series: Mapping[str, Sequence[int]]) -> None:
    for kind, colour in (("accepted", "tab:blue"), ("completed", "tab:green")):
        axis.step(range(len(series[kind])), series[kind], where="post", label=kind, color=colour)
    axis.set(title=f"{name}: orders of each second", xlabel="seconds", ylabel="orders", ylim=(0, None))
    axis.legend(loc="lower right")
    axis.grid(alpha=0.3)


def _distribution(axis: Any, latencies: Mapping[str, Sequence[float]]) -> None:
    for name, values in latencies.items():
        ordered = sorted(values)
        shares = [(number + 1) / len(ordered) for number in range(len(ordered))]
        axis.plot([1_000 * each for each in ordered], shares, label=name)
    axis.set(title="latency: share of the requests that were answered within", xlabel="milliseconds", xscale="log")
    axis.set(ylabel="share", ylim=(0, 1.01))
    ticks = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
    axis.set_xticks(ticks, [f"{each:,}" for each in ticks])
    axis.xaxis.set_minor_formatter("")
    axis.set_xlim(1, 1_200 * max((max(each) for each in latencies.values()), default=1.0))
    if latencies:
        axis.legend(loc="lower right")
    axis.grid(alpha=0.3, which="both")
