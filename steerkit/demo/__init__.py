"""The demonstration behind `steerkit demo`: learn a direction from pairs, read along it, steer with it."""

from steerkit.demo.pairs import load_pairs
from steerkit.demo.show import demo

__all__ = ["demo", "load_pairs"]
