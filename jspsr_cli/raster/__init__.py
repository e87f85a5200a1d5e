"""Reading, aligning and writing rasters: the only modules that open files."""
