"""The commands: one module each, with `add_arguments(parser)` and `main(args) -> int`.

A module's docstring is the command's description. At their top they import nothing but what Python has
loaded anyway, so that `COMMAND --help` costs argparse alone.
"""
