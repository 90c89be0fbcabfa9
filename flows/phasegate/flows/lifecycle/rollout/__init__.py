"""Release in steps: analysis of what is measured, promotion, baseline, migrations, restart and incidents."""
