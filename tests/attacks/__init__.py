"""Send requests that cost much work. A package, so that its fixtures end with it."""
