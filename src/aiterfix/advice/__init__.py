"""The workaround for one fault: padding columns, and lengths that need none."""
