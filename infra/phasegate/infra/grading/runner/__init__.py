"""Knowledge of test runners: their options, settings and habits.

Called by the rest of grading. It must not know what is being graded.
"""
