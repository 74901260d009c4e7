"""Notebook widgets for steerkit: read and steer a language model with the hand."""

from steerkit_widgets.steering_panel import SteeringPanel

__all__ = ["SteeringPanel"]
