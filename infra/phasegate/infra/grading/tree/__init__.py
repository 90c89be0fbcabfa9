"""The tree that is graded, approved and released: which files of a change enter it, and how it is made.

Called by the rest of grading. It must not know how tests are run or what the verdict is.
"""
