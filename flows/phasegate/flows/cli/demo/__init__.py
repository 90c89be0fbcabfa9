"""The demo: two tickets on a sample service, played through the same functions as the commands.

The first ships; the second passes its tests, breaks its service level once it runs, and is rolled back. Called by
`phasegate demo` alone. It leaves a scratch folder to look at and no process.
"""
