"""The lane and its tasks: messages, lines, what the calls of a task write, and what an observer reads."""
