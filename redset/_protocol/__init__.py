"""What is said to the server and what it replies: keys, commands, members, scores. No I/O."""
