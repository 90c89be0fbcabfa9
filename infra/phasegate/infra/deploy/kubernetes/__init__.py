"""The deploy target `kubernetes`: manifests applied to a namespace, watched as kubectl does, and put back."""
