"""The demonstration behind `steerkit demo`: read a text along features or a learned direction, steer with them."""

from steerkit.demo.pairs import load_pairs
from steerkit.demo.show import demo

__all__ = ["demo", "load_pairs"]
