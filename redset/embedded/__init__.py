"""A server of one's own: started at need, shared by its members, stopped with the last of them."""

from redset.embedded.server import Server, shared_server

__all__ = ["Server", "shared_server"]
