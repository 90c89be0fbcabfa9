"""The deploy target `process`: services on this machine, kept running, with a proxy where policy wants one."""
