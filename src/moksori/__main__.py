"""`python -m moksori`: the command line, where the script `moksori` is not on the path."""

from moksori.cli.app import main

main()
