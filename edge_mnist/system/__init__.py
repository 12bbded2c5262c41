"""The ground every room stands on: whole files, facts about this machine, text tables."""
