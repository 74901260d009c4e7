"""Notebook widgets for steerkit: read and steer a language model with the hand."""

from steerkit_widgets.attention_view import AttentionView
from steerkit_widgets.compare_view import CompareView
from steerkit_widgets.contrast_view import ContrastView
from steerkit_widgets.feature_card import FeatureCard
from steerkit_widgets.feature_picker import FeaturePicker
from steerkit_widgets.lab import Lab
from steerkit_widgets.link import link
from steerkit_widgets.steering_panel import SteeringPanel
from steerkit_widgets.sweep_view import SweepView
from steerkit_widgets.token_table import TokenTable
from steerkit_widgets.token_view import TokenView

__all__ = [
    "AttentionView",
    "CompareView",
    "ContrastView",
    "FeatureCard",
    "FeaturePicker",
    "Lab",
    "SteeringPanel",
    "SweepView",
    "TokenTable",
    "TokenView",
    "link",
]
