"""Kubernetes API as the target uses it: client, manifests, differences, locks and errors."""
