"`python -m vwl` is the `vwl` command."
from vwl.cli import main
main()
