"""Readers of published formats, one a publisher."""
