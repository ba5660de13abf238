"""Save beside training: copies of states that wait in memory or in the spool, and who stores them."""
