"""`python -m consumers` is `tastestream`."""

from consumers.cli import main

main()
