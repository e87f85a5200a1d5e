"""Numbers that both the command line and the library hold to. Free of imports, so that --help stays quick."""

# The network halves its input three times. Below 32 its unreliable border is most of the window; at 4096 one
# window alone takes the memory of a large GPU.
WINDOW_STEP, SMALLEST_WINDOW, LARGEST_WINDOW = 8, 32, 4096

# What the released weights were trained with.
DEFAULT_WINDOW = 128

# A quarter: with windows of 128 pixels, 1.8 pixels are computed for one that is written.
DEFAULT_OVERLAP = 0.25

# In metres, where neither the user nor the weights say otherwise.
DEFAULT_RESOLUTION = 8.0
