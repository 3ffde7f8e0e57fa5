"""The recorder: transports that carry model calls, and what a rollout keeps of them."""
