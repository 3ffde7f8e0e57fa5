"""Messages to token ids and back: what stands between a chat API and an engine that knows ids alone."""
