"""Where this package keeps what it can make again, and how it writes and reads it."""
