"""What can be done: each module plans one kind of action and carries it out, re-validating what was planned."""
