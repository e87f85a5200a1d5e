"""`python -m jspsr_cli` does what `jspsr` does."""

from jspsr_cli.main import main

main()
