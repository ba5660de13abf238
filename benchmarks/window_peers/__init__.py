"""Other ways to make training windows of a table, written as their manuals show, on rows in memory."""
