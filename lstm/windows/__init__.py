"""Table rows as training windows, in an order that survives restarts."""
