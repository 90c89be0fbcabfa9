"""Canary releases on Kubernetes: candidates, routes, and rollouts of Argo."""
