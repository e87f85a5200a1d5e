"""Windows on one lattice, and the blending of what was predicted for them."""
