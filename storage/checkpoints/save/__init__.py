"""From a state to a commit: cut, predict, encode, store what is new, and bring it into the head."""
