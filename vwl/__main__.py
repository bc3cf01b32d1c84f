"`python -m vwl` is the `vwl` command."
from vwl.apps.cli import main
main()
