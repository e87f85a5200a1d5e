"""`python -m jspsr_cli` does what `jspsr` does."""

from jspsr_cli.entry import main

main()
