"""Other ways to keep checkpoints, with the settings that their manuals recommend, measured in bytes."""
