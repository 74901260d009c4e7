"""Directions and conditions from data, one method a file."""

from steerkit.learn.examples import Examples
from steerkit.learn.find_condition import FoundCondition, find_condition
from steerkit.learn.mean_difference import mean_difference
from steerkit.learn.reft import reft, reft_dictionary
from steerkit.learn.steering_vector import steering_vector

__all__ = [
    "Examples",
    "FoundCondition",
    "find_condition",
    "mean_difference",
    "reft",
    "reft_dictionary",
    "steering_vector",
]
