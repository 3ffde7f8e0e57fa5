"""The demo's tasks, rewards and tools, as package data: one folder per task family, no framework."""
