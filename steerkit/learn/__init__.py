"""Directions and conditions from data, one method a file."""

from steerkit.learn.find_condition import FoundCondition, find_condition
from steerkit.learn.mean_difference import mean_difference

__all__ = ["FoundCondition", "find_condition", "mean_difference"]
