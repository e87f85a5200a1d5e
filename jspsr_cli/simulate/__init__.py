"""Scenes that never were, with a truth that is known: terrain, what stands on it, and what sensors would see of it.

Begin with `scene.py` (the land) and `views.py` (what COP30 and canopy maps show of it). Knows nothing of training: what
it makes goes there as files in the layout of DFC30 or as samples made when they are read.
"""
