"""An embedded server: started when needed, shared by its members, stopped by the last of them."""

from redset.embedded.server import Server, shared_server

__all__ = ["Server", "shared_server"]
