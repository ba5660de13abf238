"""What a repository holds, who keeps it alive, and how the rest is deleted, moved out, or taken back."""
