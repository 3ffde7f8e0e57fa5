"""What answers calls: engines that take token ids, and servers that are only listened to."""
