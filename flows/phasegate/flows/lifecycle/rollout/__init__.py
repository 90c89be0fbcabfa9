"""Release in steps: analysis, promotion, baseline, migrations, restart and incidents."""
