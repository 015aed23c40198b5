"""Where memory is kept: `base` holds the rules every store shares, each other file one engine."""
