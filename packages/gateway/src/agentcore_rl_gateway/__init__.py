"""Exact tokens for every framework: an OpenAI-compatible server in front of an engine."""
