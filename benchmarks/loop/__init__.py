"""The agent loop compared with its peers: the same scripted trajectory, each contender a process of its own.

What one turn costs is read off by the model's side of the wire: from the last byte of an answer to the last byte of
the next request. So it holds for every contender alike, whatever it does in between.
"""
