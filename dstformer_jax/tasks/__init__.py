"""What is asked of the network; see `base` for the contract of a task and of a batch."""
