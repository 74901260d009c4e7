"""Steering vectors: one direction a site; arithmetic, files, and where they come from."""
