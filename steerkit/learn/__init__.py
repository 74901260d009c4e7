"""Directions and conditions from data, one method a file."""

from steerkit.learn.by_effect import Effects, by_effect
from steerkit.learn.examples import Examples
from steerkit.learn.find_condition import FoundCondition, find_condition
from steerkit.learn.lat import lat
from steerkit.learn.mean_difference import mean_difference
from steerkit.learn.principal_component import principal_component
from steerkit.learn.probe import probe
from steerkit.learn.quality import Quality
from steerkit.learn.reft import reft, reft_dictionary
from steerkit.learn.steering_vector import steering_vector
from steerkit.tokens import Completion

__all__ = [
    "Completion",
    "Effects",
    "Examples",
    "FoundCondition",
    "Quality",
    "by_effect",
    "find_condition",
    "lat",
    "mean_difference",
    "principal_component",
    "probe",
    "reft",
    "reft_dictionary",
    "steering_vector",
]
