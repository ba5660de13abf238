"""Ways in and out: other repositories, files of this host, and states that come from elsewhere."""
