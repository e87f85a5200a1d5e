"""What is looked at: colours, light and shade of rasters."""
