"""Bare-earth elevation models from global DEMs and orthophotos: the `jspsr` command line and its library."""

__version__ = "0.1.0"
