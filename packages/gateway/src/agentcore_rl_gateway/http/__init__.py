"""HTTP/1.1 on both sides of the gateway, as little of it as its calls need. Of calls it knows nothing."""
