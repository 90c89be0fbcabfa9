"""Actions behind commands: preflight checks, engine keys, handing a run over, signing a decision."""
