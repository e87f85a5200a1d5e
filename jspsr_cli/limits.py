"""Numbers that both the command line and the library hold to. Free of imports, so that --help stays quick."""

# The network halves its input three times. Below 32 its unreliable border is most of the window; at 4096 one
# window alone takes the memory of a large GPU.
WINDOW_STEP, SMALLEST_WINDOW, LARGEST_WINDOW = 8, 32, 4096

# What the released weights were trained with.
DEFAULT_WINDOW = 128

# 24 pixels of 128: 1.5 pixels are computed for one that is written. 16 pixels make 1.3, the same RMSE, and seams that
# hillshades show; 32 make 1.8, and nothing better (benchmarks/README.md).
DEFAULT_OVERLAP = 0.1875

# In metres around the area that a DEM is fetched for: what windows at its edge see of the ground beyond (1,024 m with
# windows of 128 pixels of 8 m), the bicubic kernel and its margin (8 pixels of 31 m), and some more.
DEFAULT_BUFFER = 1500.0

# In gigabytes, of what was fetched: about fifty whole tiles of GLO-30.
DEFAULT_CACHE_SIZE = 2.0

# In metres on the ground, of fetched canopy heights: squares of three to five pixels of the map, so that means of whole
# metres are worth their decimals, and fine enough for outputs of 3 m.
DEFAULT_CANOPY_RESOLUTION = 4.0

# Weights see trees and houses at the size that they were trained on; the paper's 8 m set has pixels of 7.8 m.
RESOLUTION_SLACK = 0.25

# In metres, where neither the user nor the weights say otherwise.
DEFAULT_RESOLUTION = 8.0

# In metres: ten pixels of a 30 m DEM. Errors come from the DEM and from what stands on the ground, woods and blocks of
# houses of one or two hundred metres; those of DEMs are alike over some 100 m (Hugonnet et al., IEEE J. Sel. Top. Appl.
# Earth Obs. Remote Sens. 2022, 15, 6456-6472). A block has to be larger than that, and 1 km2 still has to hold ten.
# Over Bilbao, a city in hills, intervals are twice as wide as with 75 m, and an eighth to a quarter wider with 500 m.
DEFAULT_BLOCK = 300.0

# In pixels, of pictures: what a screen shows at once, and below which neither letters nor ground can be told apart.
DEFAULT_PREVIEW_SIZE, SMALLEST_PREVIEW_SIZE, LARGEST_PREVIEW_SIZE = 1600, 400, 5000
