"""Completion scripts: static text made of the parsers, so that TAB starts no Python."""
