"""Directions from data, one method a file."""

from steerkit.learn.mean_difference import mean_difference

__all__ = ["mean_difference"]
