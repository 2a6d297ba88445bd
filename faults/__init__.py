"""Kill, disconnect and starve real processes. A package, so that its fixtures end with it."""
