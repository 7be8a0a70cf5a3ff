"""The way of a value from a public call to the server and back; nothing here is public."""
