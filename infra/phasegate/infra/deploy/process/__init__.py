"""The deploy target `process`: services on this machine, kept running, with a front where policy wants one."""
