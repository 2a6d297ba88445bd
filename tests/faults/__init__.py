"""Real processes are killed, cut off and starved. A package, so that its fixtures end with it."""
