"""Proxy before services on this machine: HAProxy, its configuration and traffic shares."""
