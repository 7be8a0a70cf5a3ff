"""All that touches a client: its connections, subscriptions, the driver that runs plans."""
