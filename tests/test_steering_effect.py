"""Steering works on real weights: the figures of benchmarks/steering_effect.py, at its default settings."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
MODEL = ROOT.parent / "shared" / "data" / "models" / "tinystories656K"


@pytest.mark.slow
@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the model tinystories656K in ../shared/data/models")
def test_a_difference_of_means_moves_stories_at_little_cost(tmp_path: Path) -> None:
    output = tmp_path / "effect.csv"
    script = ROOT / "benchmarks" / "steering_effect.py"
    subprocess.run([sys.executable, str(script), str(MODEL), "--output", str(output)], check=True, capture_output=True)
    frame = pd.read_csv(output)
    baseline, plus, minus, random = frame.iloc[0], frame.iloc[1], frame.iloc[2], frame.iloc[3:]
    assert plus.happy >= 5 * minus.happy
    assert plus.happy > baseline.happy
    for steered in (plus, minus):
        assert steered["nats over baseline"] <= 0.3
        assert steered["repetition over baseline"] <= 0.02
    pairs = [group.set_index("sign").happy for _, group in random.groupby("direction")]
    assert len(pairs) == 10
    assert plus.happy - minus.happy > max(abs(pair[1] - pair[-1]) for pair in pairs)
