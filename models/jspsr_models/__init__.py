"""The JSPSR network (Cai & Wilson, Remote Sensing 2025, 17(21), 3591): knows tensors, nothing of rasters."""
