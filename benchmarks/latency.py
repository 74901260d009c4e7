"""How fast the widgets answer a hand: every figure beside its bound.

JupyterLab and saved pages in headless Chromium, with the embedded model. Measured in the page, from the event to the
frame that shows the answer; recolouring is the main thread's own time. Run it on a machine that does nothing else.

    python benchmarks/latency.py [-n 40] [--output latency.csv]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import page_latency
import pandas as pd
import panel_latency

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "browser"))
from harness import chromium

# Milliseconds: at the median, and at the 95th percentile.
BOUNDS = {
    "slider to first token, at rest": (150, 300),
    "slider to first token, running": (150, 300),
    "Stop to rest": (100, 100),
    "token to its card, page": (50, 50),
    "feature to its card, kernel": (100, 100),
    "key over 131,072 labels, kernel": (100, 100),
    "recolour 8,000 tokens, main thread": (50, 50),
    "open a panel": (500, 500),
}


def table(figures: pd.DataFrame) -> pd.DataFrame:
    """Median and 95th percentile of each line, beside their bounds."""
    rows = []
    for what, (middle, late) in BOUNDS.items():
        ms = figures.loc[figures["what"] == what, "ms"].dropna()
        found = ms.quantile([0.5, 0.95])
        met = found[0.5] <= middle and found[0.95] <= late
        rows.append([what, len(ms), found[0.5], middle, found[0.95], late, "yes" if met else "NO"])
    return pd.DataFrame(rows, columns=["line", "n", "median", "bound", "95%", "bound 95%", "met"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=40, help="times each is measured")
    parser.add_argument("--output", default="latency.csv")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as context:
        places = [Path(folder) / name for name in ("pages", "notebooks", "state")]
        for place in places:
            place.mkdir()
        pages, notebooks, state = places
        rows = page_latency.measure(context, pages, arguments.n)
        rows += panel_latency.measure(context, notebooks, state, arguments.n)
    figures = pd.DataFrame(rows, columns=["what", "ms"])
    figures.to_csv(arguments.output, index=False)
    print(table(figures).round(0).to_string(index=False))
    print(f"Milliseconds; each one in {arguments.output}")


if __name__ == "__main__":
    main()
