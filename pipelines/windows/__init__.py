"""What a plan comes to, before anything is trained: plain values, shown as tables and a picture."""
