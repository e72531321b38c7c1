"""What `analyse.py task=...` does: the one room that may use the callbacks, on Lightning's predict and test."""
