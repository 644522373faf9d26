"""``python -m interplay.cli``."""

from interplay.cli.app import main

main()
