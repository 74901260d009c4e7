"""Dictionaries of features: one representation for every published format."""
