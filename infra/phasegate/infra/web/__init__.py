"""Web servers of phasegate on loopback: who may reach them, and how a browser logs in. Standard library only."""
