"""Training and validating the network as the paper did; needs `pip install 'jspsr[train]'`."""

from jspsr_cli.extras import require_extra

require_extra("train")
